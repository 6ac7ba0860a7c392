"""What tests tell the server and ask of it: POST /VERB with a JSON object, answered by one.

The names of verbs and their arguments are those of the methods below.
"""

import json

import archive as store
from archive import Entry
from contents import GeneratedContent
from wire import Answer

USER = "admin"


class Control:
    def __init__(self, archive, people, settings, faults, traffic):
        self._archive = archive
        self._accounts = people
        self._settings = settings
        self._faults = faults
        self._traffic = traffic

    def answer(self, request, body):
        verb = request.path.strip("/")
        try:
            method = getattr(self, "do_" + verb)
            with self._archive.mutex:
                result = method(**json.loads(body or b"{}"))
        except (AttributeError, TypeError, ValueError, LookupError, OSError) as error:
            return Answer(400, f"{verb}: {error!r}\n")
        return Answer(200, json.dumps(result), "application/json")

    # --- Objects ---------------------------------------------------------------------------------

    def _walk(self, path, make=False):
        """The object at the path, and the resource if the path has one."""
        item, direction = None, "out"
        segments = path.split("/")
        while segments:
            word = segments.pop(0)
            if word in ("in", "out"):
                direction = word
                continue
            name = segments.pop(0)
            if word == "resources":
                return item, self._resource(item, direction, name, make)
            item = self._child(item, word, name, make)
        return item, None

    def _resource(self, item, direction, name, make):
        for resource in item.resources_of(direction):
            if name in (resource.label, str(resource.number)):
                return resource
        if not make:
            raise LookupError(f"no resource {name}")
        return self._archive.add_resource(item, direction, name)

    def _child(self, item, word, name, make):
        name = name.replace("[SLASH]", "/")
        found = self._find_child(item, word, name)
        if found is None and not make:
            raise LookupError(f"no {word} {name}")
        return found or self._make_child(item, word, name)

    def _find_child(self, item, word, name):
        if word == "projects":
            return self._archive.project(name)
        if word == "subjects":
            return self._archive.subject_in(item, name)
        if word == "experiments":
            return self._archive.experiment_in(item.project, name)
        parts = getattr(item, word)
        return parts.get(name) or next(
            (part for part in parts.values() if part.label and part.label == name), None)

    def _make_child(self, item, word, name, made_id=""):
        if word == "projects":
            return self._archive.add_project(name, USER)
        if word == "subjects":
            return self._archive.add_subject(item, name, USER, made_id)
        if word == "experiments":
            if item.kind != "subjects":
                raise LookupError("a new experiment needs its subject")
            return self._archive.add_experiment(item.project, item, name, USER, made_id)
        if word == "assessors":
            return self._archive.add_assessor(item, name, USER, made_id)
        return self._archive.add_part(word, item, name, USER)

    def do_add(self, path, id="", label=None, access=None, **attributes):
        if "/resources/" in path:
            _, resource = self._walk(path, make=True)
            resource.format = attributes.get("format", resource.format)
            resource.content = attributes.get("content", resource.content)
            return {"id": str(resource.number)}
        above, word, name = split_last(path)
        parent = self._walk(above, make=True)[0] if above else None
        item = self._find_child(parent, word, name) or self._make_child(parent, word, name, id)
        item.xsi_type = attributes.get("xsi_type", item.xsi_type)
        item.type = attributes.get("type", item.type)
        item.description = attributes.get("description", item.description)
        if access:
            item.access = access
        if label is not None:
            self._relabel(item, label)
        return {"id": item.id}

    @staticmethod
    def _relabel(item, label):
        if item.kind == "projects":
            item.alias = label
            return
        item.label = label
        if item.kind == "subjects":
            item.project.subjects[item.id] = item, label
        elif item.kind in ("experiments", "assessors"):
            item.project.experiments[item.id] = item, label

    def do_remove(self, path):
        item, resource = self._walk(path)
        if resource:
            self._archive.remove_resource(resource)
        else:
            self._archive.remove(item)
        return {}

    def do_share(self, path, project, label):
        item, _ = self._walk(path)
        target = self._archive.project(project) or self._archive.add_project(project, USER)
        members = target.subjects if item.kind == "subjects" else target.experiments
        members[item.id] = item, label
        return {}

    def do_children(self, path=""):
        if not path:
            return {"children": [f"projects/{each}" for each in self._archive.projects]}
        item, resource = self._walk(path)
        if resource:
            return {"children": []}
        names = [f"{part.kind}/{part.label or part.id}" for part in self._archive.parts_of(item)]
        names += [f"resources/{each.label}" for each in item.resources]
        names += [f"in/resources/{each.label}" for each in item.in_resources]
        return {"children": names}

    # --- Files -----------------------------------------------------------------------------------

    def do_add_file(self, resource, name, source):
        """`source` is a file that the server takes away."""
        _, found = self._walk(resource, make=True)
        found.entries[name] = Entry(name, self._archive.disk.take(source))
        found.write_catalog()
        return {}

    def do_add_files(self, resource, name, count, size, seed=0):
        _, found = self._walk(resource, make=True)
        for number in range(count):
            path = name.replace("{}", f"{number:05d}")
            content = GeneratedContent(self._archive.pattern, number + seed, size)
            found.entries[path] = Entry(path, content)
            # Now, so that the first listing need not.
            found.entries[path].digest(self._settings.checksums)
        found.write_catalog()
        return {}

    def do_files(self, resource, prefix=""):
        _, found = self._walk(resource)
        return {"files": [{"name": entry.path, "size": entry.content.size,
                           **entry.content.place()}
                          for entry in found.entries.values()
                          if entry.content and entry.path.startswith(prefix)]}

    def do_set_modified(self, resource, name, modified):
        """Seconds since 1970."""
        self._walk(resource)[1].entries[name].content.modified = modified
        return {}

    def do_remove_files(self, resource, name):
        """The file, or all of the directory."""
        found = self._walk(resource)[1]
        for path in [each for each in found.entries if f"{each}/".startswith(f"{name}/")]:
            if content := found.entries.pop(path).content:
                content.drop()
        found.write_catalog()
        return {}

    def do_set_entry(self, resource, name, size=None, digest=None):
        entry = self._walk(resource)[1].entries[name]
        if size is not None:
            entry.size_text = size
        if digest is not None:
            entry.digest_text = digest
        return {}

    def do_lose_file(self, resource, name):
        self._keep_line(resource, name).content = None
        return {}

    def do_change_file(self, resource, name, source):
        self._keep_line(resource, name).content = self._archive.disk.take(source)
        return {}

    def _keep_line(self, resource, name):
        """The entry, which will say what it says now."""
        entry = self._walk(resource)[1].entries[name]
        entry.size_text = entry.size
        entry.digest_text = entry.digest(self._settings.checksums)
        if entry.content:
            entry.content.drop()
        return entry

    # --- Users -----------------------------------------------------------------------------------

    def do_add_user(self, name, password):
        self._accounts.add_user(name, password)
        return {}

    def do_grant(self, project, user, role):
        if role not in (store.OWNER, store.MEMBER, store.COLLABORATOR):
            raise ValueError(role)
        self._archive.project(project).roles[user] = role
        return {}

    def do_expire_sessions(self):
        self._accounts.expire_all()
        return {}

    # --- Faults and settings ---------------------------------------------------------------------

    def do_add_fault(self, **fault):
        self._faults.add(**fault)
        return {}

    def do_clear_faults(self):
        self._faults.clear()
        return {}

    def do_release(self):
        self._faults.release()
        return {}

    def do_held(self):
        return {"held": self._faults.held}

    def do_set(self, **values):
        for name, value in values.items():
            target = self._accounts if hasattr(self._accounts, name) else self._settings
            if not hasattr(target, name):
                raise ValueError(f"no setting {name}")
            setattr(target, name, value)
        return {}

    def do_drop_connections(self):
        self._traffic.drop_connections()
        return {}

    # --- Counters --------------------------------------------------------------------------------

    def do_counters(self):
        return self._traffic.counters() | {
            "logins": self._accounts.logins, "failed_logins": self._accounts.failed_logins,
            "logouts": self._accounts.logouts, "live_sessions": self._accounts.live_sessions}

    def do_requests(self):
        return {"requests": self._traffic.requests()}

    def do_forget_requests(self):
        self._traffic.forget()
        self._accounts.forget_counts()
        return {}


def split_last(path):
    """What is above, and the last word and name."""
    segments = path.rsplit("/", 2)
    return (segments[0] if len(segments) == 3 else "", *segments[-2:])
