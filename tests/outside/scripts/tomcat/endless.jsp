<%@ page contentType="application/octet-stream" session="false" trimDirectiveWhitespaces="true" %><%
    // Sends without an end, until it cannot any more.
    java.io.OutputStream to = response.getOutputStream();
    while (true) {
        to.write(new byte[8000]);
        to.flush();
    }
%>
