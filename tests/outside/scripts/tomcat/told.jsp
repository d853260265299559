<%@ page contentType="text/plain" session="false" trimDirectiveWhitespaces="true" %><%
    // What is told beside the head, and what depends on it.
    out.print(String.join(" ", request.getMethod(), request.getRequestURI(), request.getQueryString(),
        request.getScheme(), request.getServerName(), "" + request.getServerPort(), request.getRemoteAddr(),
        request.getLocalAddr(), "" + (request.getRemotePort() > 0), "" + request.isSecure(),
        "" + request.getAttribute("jakarta.servlet.request.cipher_suite"),
        "" + request.getAttribute("jakarta.servlet.request.key_size"),
        "" + request.getAttribute("org.apache.tomcat.util.net.secure_protocol_version")));
%>
