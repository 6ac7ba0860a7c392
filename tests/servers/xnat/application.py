"""XNAT's web application: who asks, what is asked for, and what becomes of it."""

import json
import re
import time
import urllib.parse

import accounts
from accounts import Denied
from archive import Entry
from downloads import ARCHIVES, Downloads
from listings import Listings
from objects import MAX_DOCUMENT, Objects
from pages import login_page, status_page, tomcat_page
from places import Forbidden, NotFound, Place, Route
from uploads import Uploads
from wire import Answer

REFUSED_BY_TOMCAT = re.compile(r'[\[\]|<>{}^\\`"]|%2[fF]|%5[cC]')
REFUSED_BY_FIREWALL = re.compile(
    r";|%3[bB]|%25|%2[eE]|//|/\.{1,2}(/|$)|%[01][0-9a-fA-F]|%7[fF]")
BROWSER = re.compile(r"MSIE|Mozilla|AppleWebKit|Opera")
CHANGING = ("POST", "PUT", "DELETE")
SITE_ID = "XNAT"

BUILD = {"version": "1.8.10", "buildNumber": "1", "buildDate": "Mon Jan 01 12:00:00 UTC 2024",
         "commit": "v1.8.10", "branch": "master", "tag": "1.8.10", "sha": "0123456",
         "shaFull": "0123456789abcdef0123456789abcdef01234567", "isDirty": "false",
         "timestamp": "1704110400000"}


class Settings:
    """How the site is set, and how it misbehaves on the whole."""

    def __init__(self, context="", is_open=False):
        self.context = context
        self.is_open = is_open
        self.ranges = "as_xnat"
        self.stall = 20.0
        self.login_page = False
        self.checksums = True
        self.catalog_time = 0.0
        self.guest_cookies = True
        self.lists_all = True
        self.own_category = "resources"
        self.lost_updates_refused = True


class Exchange:
    """One request and what is known of it."""

    def __init__(self, request, wire, context):
        self.request = request
        self.wire = wire
        self.session = None
        self.is_new_session = False
        self.user = ""
        self.path = request.path.removeprefix(context)
        self.is_ours = self.path.startswith("/") and request.path.startswith(context)
        self.segments = self.path.split("/")[1:]
        self.data = self.segments[1:] if self.segments[0] in ("data", "REST") else []
        self.route = Route(self.data[1:] if self.data[:1] == ["archive"] else self.data)
        self.kind = kind_of(request, self)


class Refusal(Exception):
    """Carries the answer to give in place of what was asked for."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer


class Application:
    def __init__(self, archive, people, settings, secure):
        self._archive = archive
        self._accounts = people
        self._settings = settings
        self._secure = secure
        self._listings = Listings(archive, settings)
        self._downloads = Downloads(archive, settings)
        self._uploads = Uploads(archive, settings)
        self._objects = Objects(archive)

    def answer(self, exchange, faults):
        """Fills in what the exchange is about, and returns the answer."""
        try:
            answer = self._answer(exchange, faults)
        except Refusal as refusal:
            answer = refusal.answer
        except NotFound as error:
            answer = status_page(404, str(error))
        except Forbidden as error:
            answer = status_page(403, str(error))
        self._add_cookies(exchange, answer)
        return answer

    def _answer(self, exchange, faults):
        request = exchange.request
        if REFUSED_BY_TOMCAT.search(request.path):
            return tomcat_page(400, "Invalid character found in the request target")
        if REFUSED_BY_FIREWALL.search(request.path):
            return tomcat_page(500, "The request was rejected because the URL contained a "
                               "potentially malicious String")
        if not exchange.is_ours:
            return tomcat_page(404)
        path = exchange.path
        if path == "/xapi/siteConfig/buildInfo":
            return Answer(200, json.dumps(BUILD), "application/json")
        if path.startswith("/app/"):
            return login_page()
        if exchange.data[:2] == ["services", "auth"]:
            return self._services_auth(exchange)
        self._identify(exchange, faults)
        if exchange.data:
            return self._data(exchange, faults)
        if path == "/":
            return Answer(302, fields=[("Location",
                                        f"{self._settings.context}/app/template/Index.vm")])
        if path == "/xapi/archive/catalogs/refresh" and request.method == "POST":
            return self._refresh_catalogs(exchange)
        return tomcat_page(404)

    # --- Who asks --------------------------------------------------------------------------------

    def _identify(self, exchange, faults):
        request = exchange.request
        session_id = cookies_of(request).get("JSESSIONID", "")
        if "expire_session" in faults:
            self._accounts.expire(session_id)
        session = self._accounts.find(session_id)
        try:
            basic = accounts.Accounts.read_basic(request.fields.get("authorization", ""))
            if basic and not (session and self._accounts.is_of(session, basic[0])):
                session = self._log_in(exchange, *basic)
        except Denied as error:
            raise Refusal(tomcat_page(401, str(error))) from error
        if session is None:
            session = self._as_guest(exchange, session_id)
        exchange.session, exchange.user = session, session.user
        if "login_page" in faults:
            raise Refusal(login_page())
        self._check_csrf(request, session)

    def _log_in(self, exchange, name, password):
        session = self._accounts.begin(self._accounts.check(name, password))
        exchange.is_new_session = True
        return session

    def _as_guest(self, exchange, session_id):
        request = exchange.request
        if self._settings.is_open:
            exchange.is_new_session = self._settings.guest_cookies
            return self._accounts.begin(accounts.GUEST)
        if session_id and self._settings.login_page:
            raise Refusal(login_page())
        if BROWSER.search(request.fields.get("user-agent", "")):
            place = f"{self._settings.context}/app/template/Login.vm"
            raise Refusal(Answer(302, fields=[("Location", place)]))
        realm = "XNAT Protected Area" if request.path.endswith("/JSESSION") else SITE_ID
        raise Refusal(tomcat_page(401, "Full authentication is required to access this resource",
                                  [("WWW-Authenticate", f'Basic realm="{realm}"')]))

    @staticmethod
    def _check_csrf(request, session):
        if request.method in CHANGING and BROWSER.search(request.fields.get("user-agent", "")) \
                and request.parameter("XNAT_CSRF") != session.csrf:
            raise Refusal(status_page(500, "INVALID CSRF"))

    def _add_cookies(self, exchange, answer):
        answer.fields.append(("Server", "Noelios-Restlet-Engine/1.1.10"))
        if exchange.session is None:
            return
        if exchange.is_new_session:
            secure = "; Secure" if self._secure else ""
            path = self._settings.context or "/"
            answer.fields.append(("Set-Cookie", f"JSESSIONID={exchange.session.id}; Path={path}; "
                                  f"HttpOnly{secure}"))
        timeout = int(self._accounts.session_timeout * 1000)
        answer.fields.append(("Set-Cookie", "SESSION_EXPIRATION_TIME="
                              f"{int(time.time() * 1000)},{timeout}; Path=/"))

    # --- Sessions and services -------------------------------------------------------------------

    def _services_auth(self, exchange):
        text = b"".join(exchange.wire.body()).decode()
        form = urllib.parse.parse_qs(text, keep_blank_values=True) | exchange.request.parameters
        try:
            exchange.session = self._log_in(exchange, form.get("username", [""])[-1],
                                            form.get("password", [""])[-1])
        except Denied:
            return Answer(401, "Authentication failed.")
        exchange.user = exchange.session.user
        return Answer(200, exchange.session.id)

    def _jsession(self, exchange):
        session = exchange.session
        if exchange.request.method == "DELETE":
            self._accounts.end(session)
            return Answer(200)
        if exchange.request.is_true("CSRF"):
            return Answer(200, f"{session.id}; XNAT_CSRF={session.csrf}")
        return Answer(200, session.id)

    def _tokens(self, exchange, segments):
        if exchange.user == accounts.GUEST:
            return status_page(403)
        action, *rest = segments
        if action == "issue":
            token = self._accounts.issue_token(exchange.user)
            text = {"alias": token.alias, "secret": token.secret, "singleUse": False,
                    "estimatedExpirationTime": int(token.expires * 1000), "validIPAddresses": [],
                    "xdatUserId": token.user}
        elif action == "validate" and len(rest) == 2:
            user = self._accounts.validate_token(*rest)
            text = {"valid": user} if user else {}
        elif action == "invalidate" and len(rest) == 2:
            self._accounts.invalidate_token(*rest)
            text = {"result": "OK"}
        else:
            return status_page(404)
        return Answer(200, json.dumps(text), "application/json")

    def _refresh_catalogs(self, exchange):
        """Entries for what lies on the disk alone, none for what does not lie there."""
        request = exchange.request
        text = b"".join(exchange.wire.body()).decode()
        parameters = urllib.parse.parse_qs(text) | request.parameters
        options = ",".join(parameters.get("options", [])).split(",")
        with self._archive.mutex:
            for path in parameters.get("resource", []):
                segments = path.removeprefix("/data").removeprefix("/archive").split("/")[1:]
                place = Place(self._archive, exchange.user, Route(segments))
                item = place.security_item()
                if item is None or not self._archive.edits(exchange.user, item):
                    return status_page(403)
                for found in place.wanted_resources(True):
                    refresh(found.resource, options)
        return Answer(200)

    # --- Objects ---------------------------------------------------------------------------------

    def _data(self, exchange, faults):
        request, segments = exchange.request, exchange.data
        if segments[0] == "JSESSION":
            return self._jsession(exchange)
        if segments[0] == "auth":
            return Answer(200, f"User '{exchange.user}' is logged in")
        if segments[:2] == ["services", "tokens"] and len(segments) > 2:
            return self._tokens(exchange, segments[2:])
        if segments[:3] == ["services", "refresh", "catalog"] and request.method == "POST":
            return self._refresh_catalogs(exchange)
        if exchange.route.leaf == "site":
            return status_page(404)
        return self._object(exchange, faults)

    def _object(self, exchange, faults):
        request, user, route = exchange.request, exchange.user, exchange.route
        if exchange.kind == "files":
            time.sleep(self._settings.catalog_time)
        with self._archive.mutex:
            place = Place(self._archive, user, route, request.method)
            if request.method in ("GET", "HEAD"):
                return self._get(request, place, user)
            if request.method == "DELETE":
                return (self._uploads.delete(request, place, user) if route.leaf == "files"
                        else self._objects.delete(place, user))
        if request.method not in CHANGING:
            return status_page(405, "Method Not Allowed")
        if route.leaf == "files":
            return self._uploads.store(request, place, user, exchange.wire, faults)
        document = self._document(exchange)
        with self._archive.mutex:
            return self._objects.put(request, place, user, document)

    @staticmethod
    def _document(exchange):
        if exchange.request.length > MAX_DOCUMENT:
            return ""
        return b"".join(exchange.wire.body()).decode("utf-8", "replace")

    def _get(self, request, place, user):
        if place.route.leaf != "files":
            answer = self._listings.answer(request, place, user) or status_page(403)
        elif place.owners():
            answer = self._downloads.answer(request, place)
        else:
            raise NotFound("Unable to find the specified resource.")
        return self._without_length(request, answer)

    def _without_length(self, request, answer):
        """Restlet cannot count from the end of what it does not know the end of."""
        field = request.fields.get("range", "")
        if callable(answer.body) and self._settings.ranges == "as_xnat" \
                and field.startswith("bytes=") and not re.fullmatch(r"bytes=\d+-\d+", field):
            return status_page(500)
        return answer


def cookies_of(request):
    pairs = (pair.partition("=") for pair in request.fields.get("cookie", "").split(";"))
    return {name.strip(): value.strip() for name, _, value in pairs}


def kind_of(request, exchange):
    """What tests count requests by."""
    route = exchange.route
    if exchange.data[:1] == ["JSESSION"]:
        return "logout" if request.method == "DELETE" else "login"
    if exchange.data[:1] == ["auth"] or exchange.data[:2] == ["services", "auth"]:
        return "login"
    if route.leaf == "site":
        return "other"
    if request.method == "DELETE":
        return "delete"
    if request.method in ("PUT", "POST"):
        return "upload" if route.leaf == "files" else "create"
    if route.leaf != "files":
        return "list" if route.leaf.endswith("s") else "item"
    if request.parameter("format") in ARCHIVES:
        return "archive"
    return "file" if route.path and not route.path.endswith("/") else "files"


def refresh(resource, options):
    everything = options == [""]
    if everything or "append" in options:
        for name, content in resource.stray.items():
            resource.entries[name] = Entry(name, content)
        resource.stray.clear()
    if everything or "delete" in options:
        for name in [each for each, entry in resource.entries.items() if not entry.content]:
            del resource.entries[name]
    if everything or "checksum" in options or "populateStats" in options:
        for entry in resource.entries.values():
            entry.size_text = entry.digest_text = None
    resource.write_catalog()
