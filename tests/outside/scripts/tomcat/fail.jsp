<%@ page contentType="text/plain" session="false" trimDirectiveWhitespaces="true" %><%
    if (true) {
        throw new IllegalStateException("it fails");
    }
%>
