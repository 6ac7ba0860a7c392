"""PUT, POST and DELETE of everything above files."""

import re
import urllib.parse

import accounts
from archive import DEFAULT_TYPES, is_valid_project_id
from pages import status_page
from places import escaped
from uploads import set_attributes
from wire import Answer

MAX_DOCUMENT = 1 << 20
NOT_EXPERIMENT = re.compile(r"(ScanData|:projectData|:subjectData|:reconstructedImageData)$")


class Objects:
    def __init__(self, archive):
        self._archive = archive

    def put(self, request, place, user, document):
        """`document` is the XML that came as the request's body, or empty."""
        return getattr(self, "_put_" + place.route.leaf, not_allowed)(request, place, user,
                                                                      document)

    def _put_project(self, _, place, user, __):
        name = place.route.names["projects"]
        project = self._archive.project(name)
        if project:
            if not self._archive.edits(user, project):
                return status_page(403 if self._archive.sees(user, project) else 409)
        elif user == accounts.GUEST:
            return status_page(403)
        elif not is_valid_project_id(name):
            return status_page(417, "Invalid character in project ID.")
        else:
            self._archive.add_project(name, user)
        return Answer(200)

    def _put_subject(self, request, place, user, document):
        name = escaped(place.route.names["subjects"])
        project = place.project
        if project is None:
            return status_page(422, "Submitted subject record must include the project attribute.")
        subject = self._archive.subject_in(project, name)
        if not self._archive.edits(user, subject or project):
            return status_page(403)
        if type_of(request, document) not in ("", "xnat:subjectData"):
            return status_page(422, "Only xnat:Subject documents can be PUT to this address.")
        if subject:
            relabel(request, project.subjects, subject)
            return Answer(200, subject.id)
        return Answer(201, self._archive.add_subject(project, name, user).id)

    def _put_experiment(self, request, place, user, document):
        project, names = place.project, place.route.names
        if project is None:
            return status_page(422, "Submitted experiment record must include the project "
                               "attribute.")
        label = escaped(names["experiments"])
        experiment = self._archive.experiment_in(project, label)
        if not self._archive.edits(user, experiment or project):
            return status_page(403)
        if experiment:
            relabel(request, project.experiments, experiment)
            return Answer(200, experiment.id)
        xsi_type = type_of(request, document)
        if not xsi_type:
            return status_page(417, "Need PUT Contents")
        if NOT_EXPERIMENT.search(xsi_type):
            return status_page(422, "Only xnat:Subject documents can be PUT to this address.")
        subject = self._subject_for(project, names.get("subjects")
                                    or request.parameter("subject_ID"), user)
        if subject is None:
            return status_page(422, "Submitted experiment record must include the subject.")
        experiment = self._archive.add_experiment(project, subject, label, user)
        experiment.xsi_type = xsi_type
        experiment.date = request.parameter("date", "")
        return Answer(201, experiment.id)

    def _subject_for(self, project, name, user):
        if name is None:
            return None
        return (self._archive.subject_in(project, escaped(name))
                or self._archive.add_subject(project, escaped(name), user))

    def _put_assessor(self, request, place, user, document):
        if not place.sessions:
            return status_page(404, "Invalid session id.")
        session = place.sessions[0]
        if not self._archive.edits(user, session):
            return status_page(403)
        if place.experiments:
            return Answer(200, place.experiments[0].id)
        xsi_type = type_of(request, document)
        if not xsi_type:
            return status_page(417, "Need PUT Contents")
        if NOT_EXPERIMENT.search(xsi_type) or xsi_type.endswith("SessionData"):
            return status_page(422, "Only xnat:imageAssessorData documents can be PUT to this "
                               "address.")
        assessor = self._archive.add_assessor(session, escaped(place.route.names["assessors"]),
                                              user)
        assessor.xsi_type = xsi_type
        return Answer(201, assessor.id)

    def _put_scan(self, request, place, user, document):
        if not place.sessions:
            return status_page(404, "Specified image session doesn't exist.")
        session = place.sessions[0]
        if not self._archive.edits(user, session):
            return status_page(403)
        name = urllib.parse.unquote_plus(place.route.names["scans"]).replace("[SLASH]", "/")
        scan = session.scans.get(name)
        xsi_type = type_of(request, document)
        if xsi_type == "xnat:imageScanData" or xsi_type and not xsi_type.endswith("ScanData"):
            return status_page(400, "Only Scan documents can be PUT to this address.")
        if scan is None and not xsi_type:
            return status_page(417, "Need PUT Contents")
        if scan and xsi_type and scan.xsi_type != xsi_type:
            return status_page(409, f"Scan {name} already exists as {scan.xsi_type}.")
        if scan is None:
            scan = self._archive.add_part("scans", session, name, user)
            scan.xsi_type = xsi_type
        self._set_part(scan, request)
        return Answer(200)

    def _put_reconstruction(self, request, place, user, _):
        if not place.sessions:
            return status_page(404, "Specified image session doesn't exist.")
        session = place.sessions[0]
        if not self._archive.edits(user, session):
            return status_page(403)
        name = urllib.parse.unquote_plus(place.route.names["reconstructions"])
        part = self._archive.find_reconstruction(name)
        if part is None:
            part = self._archive.add_part("reconstructions", session, name, user)
        self._set_part(part, request)
        return Answer(200)

    @staticmethod
    def _set_part(part, request):
        for name, values in request.parameters.items():
            field = name.rpartition("/")[2]
            if field in ("type", "note"):
                setattr(part, field, values[-1])
            elif field == "series_description":
                part.description = values[-1]

    def _put_resource(self, request, place, user, _):
        label = place.route.resource
        if re.search(r"[^A-Za-z0-9_.,-]", label):
            return status_page(400, "Illegal character in a label")
        owners = place.owners()
        if not owners:
            return status_page(404)
        if not self._archive.edits(user, place.security_item()):
            return status_page(403)
        if place.wanted_resources(False):
            return status_page(409, "Specified resource already exists.")
        self._add_resource(request, place, label)
        return Answer(200)

    def _put_resources(self, request, place, user, _):
        if not place.owners():
            return status_page(404)
        if not self._archive.edits(user, place.security_item()):
            return status_page(403)
        label = request.parameter("label", "")
        return Answer(200, str(self._add_resource(request, place, label).number))

    def _add_resource(self, request, place, label):
        resource = self._archive.add_resource(place.owners()[0], place.route.direction, label)
        set_attributes(resource, request)
        return resource

    def _put_share(self, request, place, user, _):
        item = (place.experiments or [place.subject])[0]
        target = self._archive.project(place.route.names["share"])
        if item is None or target is None:
            return status_page(404)
        if not (self._archive.reads(user, item) and self._archive.edits(user, target)):
            return status_page(403)
        members = target.subjects if item.kind == "subjects" else target.experiments
        if item.id in members:
            return status_page(409, f"Already assigned to project:{target.id}")
        members[item.id] = item, request.parameter("label", item.label)
        return Answer(200)

    # --- DELETE ----------------------------------------------------------------------------------

    def delete(self, place, user):
        leaf = place.route.leaf
        if leaf == "resource":
            return self._delete_resources(place, user)
        if leaf == "share":
            return self._unshare((place.experiments or [place.subject])[0],
                                 self._archive.project(place.route.names["share"]), user)
        found = {"project": [place.project], "subject": [place.subject],
                 "experiment": place.experiments, "assessor": place.experiments,
                 "scan": place.scans, "reconstruction": place.reconstructions}.get(leaf)
        if found is None:
            return not_allowed()
        if not found:
            return status_page(404)
        for item in found:
            if place.project and leaf in ("subject", "experiment") \
                    and item.project is not place.project:
                return self._unshare(item, place.project, user)
            if not self._archive.deletes(user, item):
                return status_page(403)
            self._archive.remove(item)
        return Answer(200)

    def _unshare(self, item, project, user):
        if item is None or project is None:
            return status_page(404)
        if not self._archive.deletes(user, project):
            return status_page(403)
        if item.project is project:
            return status_page(403, "Object cannot be unshared from its primary project.")
        (project.subjects if item.kind == "subjects" else project.experiments).pop(item.id, None)
        return Answer(200)

    def _delete_resources(self, place, user):
        item = place.security_item()
        if item is None:
            return status_page(404)
        if not self._archive.deletes(user, item):
            return status_page(403)
        for found in place.wanted_resources(False):
            self._archive.remove_resource(found.resource)
        return Answer(200)


def not_allowed(*_):
    return status_page(405, "Method Not Allowed")


def type_of(request, document):
    if xsi_type := request.parameter("xsiType"):
        return xsi_type
    if match := re.search(r'xsi:type="([^"]+)"', document):
        return match[1]
    if match := re.search(r"<xnat:(MR|PET|CT|PETMR)(Session|Scan)\b", document):
        return f"xnat:{match[1].lower()}{match[2]}Data"
    return next((name.rpartition("/")[0] for name in request.parameters
                 if name.rpartition("/")[0] in DEFAULT_TYPES.values()), "")


def relabel(request, members, item):
    if label := request.parameter("label"):
        item.label = label
        members[item.id] = item, label
