"""Users, their rights, and their sessions."""

import base64
import binascii
import secrets
import threading
import time
import uuid

ADMINISTRATOR = "admin"
GUEST = "guest"
LOCK_OUT_SECONDS = 3600
TOKEN_SECONDS = 2 * 24 * 3600


FAILURE = ("Your login attempt failed because the username and password combination you provided "
           "was invalid or your user already has the maximum number of user sessions open.")


class Denied(Exception):
    """No session for this name and password; XNAT does not tell why."""

    def __init__(self):
        super().__init__(FAILURE)


class Session:
    def __init__(self, user):
        self.id = secrets.token_hex(16).upper()
        self.csrf = str(uuid.uuid4())
        self.user = user
        self.last_used = time.monotonic()


class Token:
    def __init__(self, user):
        self.alias = str(uuid.uuid4())
        self.secret = secrets.token_urlsafe(48)
        self.user = user
        self.expires = time.time() + TOKEN_SECONDS


class Accounts:
    def __init__(self, password, max_sessions, max_failed_logins, session_timeout):
        self._mutex = threading.Lock()
        self._passwords = {ADMINISTRATOR: password}
        self._failures = {}  # user: (how many in a row, when the last one was)
        self._sessions = {}
        self._tokens = {}
        self.max_sessions = max_sessions
        self.max_failed_logins = max_failed_logins
        self.session_timeout = session_timeout
        self.logins = 0
        self.failed_logins = 0
        self.logouts = 0

    def add_user(self, name, password):
        with self._mutex:
            self._passwords[name] = password

    def exists(self, name):
        return name in self._passwords

    # --- Names and passwords ---------------------------------------------------------------------

    def check(self, name, password):
        """The user of that name or alias. Raises Denied."""
        name = name.rpartition("/")[2]  # of a provider
        with self._mutex:
            token = self._tokens.get(name)
            if token and token.secret == password and token.expires > time.time():
                return token.user
            count, when = self._failures.get(name, (0, 0.0))
            locked = (count >= self.max_failed_logins
                      and time.monotonic() < when + LOCK_OUT_SECONDS)
            if not locked and self._passwords.get(name) == password:
                self._failures.pop(name, None)
                return name
            self._failures[name] = count + 1, time.monotonic()
            self.failed_logins += 1
        raise Denied

    def is_of(self, session, name):
        """Whether the name or alias beside a session's cookie is that of its user."""
        name = name.rpartition("/")[2]
        token = self._tokens.get(name)
        return session.user == (token.user if token else name)

    @staticmethod
    def read_basic(field):
        """Name and password of an Authorization field, or nothing."""
        scheme, _, encoded = field.partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            name, _, password = base64.b64decode(encoded).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise Denied from error
        return name, password

    # --- Sessions --------------------------------------------------------------------------------

    def begin(self, user):
        """A new session. Raises Denied if the user has too many."""
        with self._mutex:
            self._forget_expired()
            mine = sum(session.user == user for session in self._sessions.values())
            if user != GUEST:
                if mine >= self.max_sessions:
                    self.failed_logins += 1
                    raise Denied
                self.logins += 1
            session = Session(user)
            self._sessions[session.id] = session
        return session

    def find(self, session_id):
        with self._mutex:
            session = self._sessions.get(session_id)
            if session is None:
                return None
            if self._is_expired(session):
                del self._sessions[session_id]
                return None
            session.last_used = time.monotonic()
        return session

    def end(self, session):
        with self._mutex:
            if self._sessions.pop(session.id, None) and session.user != GUEST:
                self.logouts += 1

    def expire(self, session_id):
        with self._mutex:
            self._sessions.pop(session_id, None)

    def expire_all(self):
        with self._mutex:
            self._sessions.clear()

    @property
    def live_sessions(self):
        with self._mutex:
            self._forget_expired()
            return sum(session.user != GUEST for session in self._sessions.values())

    def _is_expired(self, session):
        return time.monotonic() > session.last_used + self.session_timeout

    def _forget_expired(self):
        for session in [each for each in self._sessions.values() if self._is_expired(each)]:
            del self._sessions[session.id]

    # --- Alias tokens ----------------------------------------------------------------------------

    def issue_token(self, user):
        token = Token(user)
        with self._mutex:
            self._tokens[token.alias] = token
        return token

    def validate_token(self, alias, secret):
        """Whose token that is, or nothing."""
        with self._mutex:
            token = self._tokens.get(alias)
        if token and token.secret == secret and token.expires > time.time():
            return token.user
        return None

    def invalidate_token(self, alias, secret):
        with self._mutex:
            token = self._tokens.get(alias)
            if token and token.secret == secret:
                del self._tokens[alias]

    def forget_counts(self):
        with self._mutex:
            self.logins = self.failed_logins = self.logouts = 0
