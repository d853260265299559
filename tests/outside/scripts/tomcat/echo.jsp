<%@ page contentType="application/octet-stream" session="false" trimDirectiveWhitespaces="true" %><%
    // Sends back what it is sent, as it comes.
    byte[] buffer = new byte[30000];
    java.io.InputStream from = request.getInputStream();
    java.io.OutputStream to = response.getOutputStream();
    for (int read; (read = from.read(buffer)) > 0;) {
        to.write(buffer, 0, read);
    }
    to.flush();
    out = pageContext.pushBody();
%>
