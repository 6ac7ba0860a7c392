"""What the site holds: projects, subjects, experiments, their parts, resources and catalogs."""

import itertools
import re
import threading
import time

import accounts

PRIVATE, PROTECTED, PUBLIC = "private", "protected", "public"
OWNER, MEMBER, COLLABORATOR = "owner", "member", "collaborator"

DEFAULT_TYPES = {
    "projects": "xnat:projectData",
    "subjects": "xnat:subjectData",
    "experiments": "xnat:mrSessionData",
    "scans": "xnat:mrScanData",
    "assessors": "xnat:qcAssessmentData",
    "reconstructions": "xnat:reconstructedImageData",
}


class Item:
    """A project, subject, experiment, scan, assessor or reconstruction."""

    def __init__(self, kind, item_id, label, creator):
        self.kind = kind
        self.id = item_id
        self.label = label
        self.xsi_type = DEFAULT_TYPES[kind]
        self.type = ""
        self.description = ""
        self.note = ""
        self.number = ""  # the key of the database, of scans and reconstructions
        self.project = None  # the primary one
        self.subject = None
        self.session = None  # that a scan, reconstruction or assessor is of
        self.created = time.strftime("%Y-%m-%d %H:%M:%S.000")
        self.date = ""
        self.creator = creator
        self.scans = {}
        self.reconstructions = {}
        self.assessors = {}
        self.resources = []  # of scans, projects, subjects, experiments; what goes out of others
        self.in_resources = []

    def resources_of(self, direction):
        return self.in_resources if direction == "in" else self.resources


class Project(Item):
    def __init__(self, project_id, creator):
        super().__init__("projects", project_id, project_id, creator)
        self.project = self
        self.name = project_id
        self.alias = ""
        self.access = PRIVATE
        self.roles = {}
        self.subjects = {}  # ID: (Item, its label here)
        self.experiments = {}  # the same; assessors are among them


class Entry:
    """A line of a catalog, and the file on the disk, if there is one."""

    def __init__(self, path, content):
        self.path = path
        self.content = content
        self.size_text = None  # in place of the truth
        self.digest_text = None
        self.format = ""
        self.content_label = ""
        self.tags = ""

    @property
    def size(self):
        if self.size_text is not None:
            return self.size_text
        return str(self.content.size) if self.content else ""

    def digest(self, checksums):
        if self.digest_text is not None:
            return self.digest_text
        return self.content.digest if checksums and self.content else ""


class Resource:
    def __init__(self, number, label, item, direction):
        self.number = number
        self.label = label
        self.item = item
        self.direction = direction
        self.format = self.content = self.description = self.tags = ""
        self.entries = {}  # the catalog: path: Entry
        self.stray = {}  # on the disk only: path: content
        self.version = 0  # of the catalog
        self.total = 0  # bytes, as the database has them
        self.count = 0

    def write_catalog(self):
        self.version += 1
        self.count = len(self.entries)
        self.total = sum(entry.content.size for entry in self.entries.values() if entry.content)


class Conflict(Exception):
    """There is something of that name, or it cannot be what it should."""


class Archive:
    """Callers hold `mutex` while they look at or change anything in it."""

    def __init__(self, disk, pattern):
        self.mutex = threading.RLock()
        self.disk = disk
        self.pattern = pattern
        self.projects = {}
        self.subjects = {}
        self.experiments = {}  # assessors are among them
        self.resources = {}
        self._subject_numbers = itertools.count(1)
        self._experiment_numbers = itertools.count(1)
        self._numbers = itertools.count(1)

    # --- Looking up ------------------------------------------------------------------------------

    def project(self, name):
        found = self.projects.get(name)
        if found is None and name:
            found = next((each for each in self.projects.values() if each.alias == name), None)
        return found

    def subject_in(self, project, name):
        return self._find_in(project.subjects, name)

    def experiment_in(self, project, name):
        """Also an assessor."""
        return self._find_in(project.experiments, name)

    @staticmethod
    def _find_in(members, name):
        for item, label in members.values():
            if label == name:
                return item
        item, _ = members.get(name, (None, ""))
        return item

    def projects_of(self, item):
        """The primary one first."""
        if item.kind == "projects":
            return [item]
        anchor = item.session if item.kind in ("scans", "reconstructions") else item
        members = "subjects" if anchor.kind == "subjects" else "experiments"
        shared = [project for project in self.projects.values()
                  if project is not anchor.project and anchor.id in getattr(project, members)]
        return [anchor.project, *shared]

    @staticmethod
    def sessions(project):
        """The project's experiments without assessors, each with its label there."""
        return [pair for pair in project.experiments.values() if pair[0].kind == "experiments"]

    # --- Rights ----------------------------------------------------------------------------------

    @staticmethod
    def role(user, project):
        return OWNER if user == accounts.ADMINISTRATOR else project.roles.get(user)

    def sees(self, user, project):
        """Whether its name is known to the user."""
        return project.access != PRIVATE or self.role(user, project) is not None

    def reads_project(self, user, project):
        return project.access == PUBLIC or self.role(user, project) is not None

    def reads(self, user, item):
        return any(self.reads_project(user, project) for project in self.projects_of(item))

    def edits(self, user, item):
        return self.role(user, item.project) in (OWNER, MEMBER)

    def deletes(self, user, item):
        return self.role(user, item.project) == OWNER

    # --- Adding ----------------------------------------------------------------------------------

    def add_project(self, project_id, user):
        project = Project(project_id, user)
        if user != accounts.ADMINISTRATOR:
            project.roles[user] = OWNER
        self.projects[project_id] = project
        return project

    def add_subject(self, project, label, user, subject_id=""):
        subject_id = subject_id or f"XNAT_S{next(self._subject_numbers):05d}"
        subject = Item("subjects", subject_id, label, user)
        subject.project = project
        self.subjects[subject_id] = subject
        project.subjects[subject_id] = subject, label
        return subject

    def add_experiment(self, project, subject, label, user, experiment_id=""):
        return self._add_experiment("experiments", project, subject, label, user, experiment_id)

    def add_assessor(self, session, label, user, assessor_id=""):
        assessor = self._add_experiment("assessors", session.project, session.subject, label, user,
                                        assessor_id)
        assessor.session = session
        session.assessors[assessor.id] = assessor
        return assessor

    def _add_experiment(self, kind, project, subject, label, user, experiment_id):
        experiment_id = experiment_id or f"XNAT_E{next(self._experiment_numbers):05d}"
        experiment = Item(kind, experiment_id, label, user)
        experiment.project = project
        experiment.subject = subject
        self.experiments[experiment_id] = experiment
        project.experiments[experiment_id] = experiment, label
        return experiment

    def add_part(self, kind, session, part_id, user):
        """A scan or a reconstruction."""
        part = Item(kind, part_id, "", user)
        part.number = str(next(self._numbers))
        part.session = session
        part.project = session.project
        getattr(session, kind)[part_id] = part
        return part

    def find_reconstruction(self, part_id):
        """Anywhere on the site, which is how XNAT identifies them."""
        for experiment in self.experiments.values():
            if part_id in experiment.reconstructions:
                return experiment.reconstructions[part_id]
        return None

    def add_resource(self, item, direction, label):
        resource = Resource(next(self._numbers), label, item, direction)
        item.resources_of(direction).append(resource)
        self.resources[resource.number] = resource
        return resource

    # --- Removing --------------------------------------------------------------------------------

    def remove_resource(self, resource):
        for entry in resource.entries.values():
            if entry.content:
                entry.content.drop()
        for content in resource.stray.values():
            content.drop()
        resource.item.resources_of(resource.direction).remove(resource)
        del self.resources[resource.number]

    def remove(self, item):
        for resource in [*item.resources, *item.in_resources]:
            self.remove_resource(resource)
        for part in self.parts_of(item):
            self.remove(part)
        if item.kind == "projects":
            del self.projects[item.id]
        elif item.kind == "subjects":
            del self.subjects[item.id]
            for project in self.projects.values():
                project.subjects.pop(item.id, None)
        elif item.kind in ("experiments", "assessors"):
            self.experiments.pop(item.id, None)
            for project in self.projects.values():
                project.experiments.pop(item.id, None)
            if item.session:
                item.session.assessors.pop(item.id, None)
        else:
            getattr(item.session, item.kind).pop(item.id, None)

    def parts_of(self, item):
        if item.kind == "projects":
            return ([subject for subject, _ in item.subjects.values() if subject.project is item]
                    + [experiment for experiment, _ in self.sessions(item)
                       if experiment.project is item and experiment.subject is None])
        if item.kind == "subjects":
            return [each for each in self.experiments.values()
                    if each.subject is item and each.kind == "experiments"]
        return [*item.scans.values(), *item.reconstructions.values(), *item.assessors.values()]


def is_valid_project_id(project_id):
    return re.fullmatch(r"[A-Za-z0-9_-]+", project_id) is not None
