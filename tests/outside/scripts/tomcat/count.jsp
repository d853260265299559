<%@ page contentType="text/plain" trimDirectiveWhitespaces="true" %><%
    // How often the session was here.
    Integer before = (Integer) session.getAttribute("count");
    session.setAttribute("count", before == null ? 1 : before + 1);
%>${sessionScope.count}
