"""What a path of the REST API names.

Restlet's router matches by prefix: what it does not know at the end of a path is ignored. The
objects of a path are looked up as XNATTemplate.java does, the resources below them as
XNATCatalogTemplate.java and loadCatalogs() do.
"""

import urllib.parse

# Which words may follow which kind of object. "shares" stands for .../projects/{P} below an object.
ROUTES = {
    "site": {"projects": "project", "subjects": "lone subject", "experiments": "experiment"},
    "project": {"subjects": "subject", "experiments": "short experiment"},
    "lone subject": {"projects": "share"},
    "subject": {"experiments": "experiment", "projects": "share"},
    "short experiment": {"projects": "share"},
    "experiment": {"scans": "scan", "reconstructions": "reconstruction", "assessors": "assessor",
                   "projects": "share"},
    "scan": {}, "reconstruction": {}, "assessor": {}, "share": {},
}
WITHOUT_RESOURCES = ("site", "share")
WITHOUT_FILES = ("site", "share", "short experiment")
WITH_DIRECTION = ("reconstruction", "assessor")
ALL = ("*", "ALL")


class NotFound(Exception):
    pass


class Forbidden(Exception):
    pass


def escaped(name):
    """As XNAT has it in its variables."""
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"),
                              ("'", "&#039;")):
        name = name.replace(character, entity)
    return name


class Route:
    """The words of a path. `leaf` is what it is about: "projects", "project", ... "files"."""

    def __init__(self, segments):
        self.names = {}
        self.direction = "out"
        self.resource = None
        self.path = ""  # of a file, as it came
        self.leaf = "site"
        self._scope = "site"
        segments = list(segments)
        while segments and self._step(segments):
            pass

    def _step(self, segments):
        word = segments.pop(0)
        if word in ROUTES[self._scope]:
            return self._collection(word, segments)
        if word in ("in", "out") and self._scope in WITH_DIRECTION:
            self.direction = word
            return True
        if word == "resources" and self._scope not in WITHOUT_RESOURCES:
            self.leaf = "resources"
            if segments and segments[0]:
                self.resource = escaped(segments.pop(0))
                self.leaf = "resource"
                if segments and segments[0] == "files":
                    self.leaf, self.path = "files", "/".join(segments[1:])
        elif word == "files" and self._scope not in WITHOUT_FILES:
            self.leaf, self.path = "files", "/".join(segments)
        return False

    def _collection(self, word, segments):
        self.leaf = "shares" if ROUTES[self._scope][word] == "share" else word
        if not segments or not segments[0]:
            return False
        name = segments.pop(0)
        scope = ROUTES[self._scope][word]
        self.names["share" if scope == "share" else word] = name
        self._scope = scope
        self.leaf = scope.split()[-1]
        return True

    @property
    def resource_names(self):
        return [name.strip() for name in self.resource.split(",")] if self.resource else []

    def file_path(self):
        """Decoded only if it has one of two escapes, and then all of it (XNAT-6947)."""
        if "%20" in self.path or "%2B" in self.path:
            return urllib.parse.unquote_plus(self.path)
        return self.path


class Found:
    """A resource and what a listing says of where it is."""

    def __init__(self, resource, category, cat_id, cat_desc, uri):
        self.resource = resource
        self.category = category
        self.cat_id = cat_id
        self.cat_desc = cat_desc
        self.uri = f"{uri}/resources/{resource.number}"


class Place:
    """The objects that a route names, those of them that there are."""

    def __init__(self, archive, user, route, method="GET"):
        self._archive = archive
        self._user = user
        self._is_get = method in ("GET", "HEAD")
        self._makes = route.leaf if method == "PUT" else ""
        self.route = route
        self.project = self.subject = None
        self.sessions = []  # whose parts are meant
        self.experiments = []  # which are meant themselves; assessors are
        self.scans = []
        self.reconstructions = []
        names = route.names
        if "projects" in names:
            self._find_project(escaped(names["projects"]))
        if "subjects" in names:
            self._find_subject(escaped(names["subjects"]))
        if "experiments" in names:
            self._find_experiments(escaped(names["experiments"]))
        if "assessors" in names:
            self._find_assessors(escaped(names["assessors"]))
        for kind in ("scans", "reconstructions"):
            if kind in names and self.sessions:
                setattr(self, kind, self._find_parts(kind, urllib.parse.unquote_plus(names[kind])))

    # --- Objects ---------------------------------------------------------------------------------

    def _find_project(self, name):
        self.project = self._archive.project(name)
        if self._makes == "project":
            return
        if self.project is None or not self._archive.sees(self._user, self.project):
            raise NotFound("Unable to identify project")

    def _find_subject(self, name):
        if self.project is None:
            self.subject = self._archive.subjects.get(name)
        else:
            self.subject = self._archive.subject_in(self.project, name)
        if self.subject is None and self._makes in ("subject", "experiment"):
            return
        if self.subject is None or not self._archive.reads(self._user, self.subject):
            raise NotFound("Unable to identify subject")

    def _find_experiments(self, names):
        found = []
        for name in names.split(","):
            experiment = (self._archive.experiment_in(self.project, name) if self.project
                          else self._archive.experiments.get(name))
            if experiment and self._archive.reads(self._user, experiment):
                found.append(experiment)
        if any(kind in self.route.names for kind in ("scans", "reconstructions", "assessors")):
            self.sessions = found
        else:
            self.experiments = found
        self._need_one(found, "experiment")

    def _find_assessors(self, names):
        for session in self.sessions:
            for name in names.split(","):
                self.experiments += [
                    each for each in session.assessors.values()
                    if name in (each.id, each.label, each.xsi_type) or name in ALL]
        self._need_one(self.experiments, "experiment")

    def _find_parts(self, kind, names):
        wanted = [name.replace("[SLASH]", "/") for name in names.split(",")]
        wanted_types = ["" if name == "NULL" else name.replace("[COMMA]", ",") for name in wanted]
        found = [part for session in self.sessions for part in getattr(session, kind).values()
                 if names in ALL or part.id in wanted or part.type in wanted_types]
        self._need_one(found, kind[:-1])
        return found

    def _need_one(self, found, what):
        if len(found) != 1 and not self._is_get and self.route.leaf in ("files", "resource",
                                                                        "resources"):
            raise NotFound(f"Unable to identify {what}")

    # --- Resources -------------------------------------------------------------------------------

    def owners(self):
        """Whose resources are meant: the nearest that there is."""
        for found in (self.reconstructions, self.scans, self.experiments):
            if found:
                return found
        return [each for each in (self.subject or self.project,) if each]

    def security_item(self):
        """Whose rights decide."""
        if self.sessions and (self.reconstructions or self.scans or self.experiments):
            return self.sessions[0]
        return next(iter(self.owners()), None)

    def resources(self, with_parts):
        """All resources of the place, `with_parts` those of a session's scans and the like, too."""
        direction = self.route.direction
        if with_parts and self.experiments and not self.sessions:
            return [found for item in self.experiments for found in self._all_of(item)]
        return [self._found(resource, item, direction)
                for item in self.owners() for resource in item.resources_of(direction)]

    def _all_of(self, session):
        parts = [session, *session.scans.values(), *session.reconstructions.values(),
                 *session.assessors.values()]
        return [self._found(resource, item, "out") for item in parts for resource in item.resources]

    @staticmethod
    def _found(resource, item, direction):
        if item.kind == "projects":
            return Found(resource, "resources", "", " ", f"/projects/{item.id}")
        if item.kind == "subjects":
            return Found(resource, "resources", "", " ",
                         f"/projects/{item.project.id}/subjects/{item.id}")
        if item.kind == "experiments":
            return Found(resource, "resources", item.id, " ", f"/experiments/{item.id}")
        uri = f"/experiments/{item.session.id}/{item.kind}/{item.id}"
        if item.kind == "scans":
            return Found(resource, item.kind, item.id, item.type, uri)
        what = item.xsi_type if item.kind == "assessors" else item.type
        return Found(resource, item.kind, item.id, what, f"{uri}/{direction}")

    def wanted_resources(self, with_parts):
        """Those that the route names; numbers are looked for on the whole site."""
        names = self.route.resource_names
        if any("'" in name for name in names):
            raise Forbidden("Possible SQL Injection attempt.")
        there = self.resources(with_parts)
        if not names:
            return there
        found = [each for each in there
                 if each.resource.label in names or str(each.resource.number) in names]
        for name in names:
            if name.isdecimal():
                self._add_by_number(int(name), found)
        return found

    def _add_by_number(self, number, found):
        resource = self._archive.resources.get(number)
        if resource is None or not self._archive.reads(self._user, resource.item):
            raise Forbidden(f"The user {self._user} requested 1 resources by ID (i.e. not by "
                            "qualified resource label) but was denied access to all of them: "
                            f"{number}")
        if all(each.resource is not resource for each in found):
            found.append(self._found(resource, resource.item, resource.direction))

    def base_uri(self):
        uri = "/data"
        if self.project and self.subject:
            uri += f"/projects/{self.project.id}/subjects/{self.subject.id}"
        elif self.project and not (self.scans or self.reconstructions or self.experiments):
            return f"{uri}/projects/{self.project.id}"
        if not (self.scans or self.reconstructions or self.experiments):
            return uri
        if self.sessions:
            uri += "/experiments/" + ",".join(each.id for each in self.sessions)
        if self.reconstructions:
            uri += "/reconstructions/" + ",".join(each.id for each in self.reconstructions)
        elif self.scans:
            return uri + "/scans/" + ",".join(each.id for each in self.scans)
        else:
            uri += "/assessors/" if self.sessions else "/experiments/"
            uri += ",".join(each.id for each in self.experiments)
        return f"{uri}/{self.route.direction}" if self.sessions else uri
