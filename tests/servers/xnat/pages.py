"""The HTML that comes in place of data."""

from html import escape

from wire import Answer

REASONS = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
           406: "Not Acceptable", 409: "Conflict", 415: "Unsupported Media Type",
           416: "Requested Range Not Satisfiable", 417: "Expectation Failed",
           422: "Unprocessable Entity", 500: "Internal Server Error", 501: "Not Implemented",
           502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout"}


def status_page(status, reason="", fields=()):
    """Restlet's page."""
    text = escape(reason or REASONS.get(status, ""))
    return Answer(status, f"""<html>
<head>
   <title>Status page</title>
</head>
<body>
<h3>{text}</h3><p>You can get technical details <a href="http://www.w3.org/Protocols/rfc2616/\
rfc2616-sec10.html">here</a>.<br>
Please continue your visit at our <a href="/">home page</a>.
</p>
</body>
</html>
""", "text/html;charset=ISO-8859-1", fields)


def tomcat_page(status, message="", fields=()):
    """Tomcat's page."""
    title = f"HTTP Status {status} – {REASONS.get(status, '')}"
    return Answer(status, f"<!doctype html><html lang=\"en\"><head><title>{title}</title></head>"
                  f"<body><h1>{title}</h1><p><b>Message</b> {escape(message)}</p></body></html>",
                  "text/html;charset=utf-8", fields)


def proxy_page(status):
    """What a proxy in front says when XNAT does not answer."""
    title = f"{status} {REASONS.get(status, '')}"
    answer = Answer(status, f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center>"
                    f"<h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n", "text/html")
    return answer


def login_page():
    return Answer(200, """<!DOCTYPE HTML>
<html><head><title>XNAT - Login</title></head>
<body><form name="form1" method="post" action="/login">
<label>User <input type="text" name="username"></label>
<label>Password <input type="password" name="password"></label>
</form></body></html>
""", "text/html;charset=UTF-8")
