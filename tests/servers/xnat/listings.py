"""Lists of objects and the documents of single ones."""

import json
from xml.sax.saxutils import escape, quoteattr

from places import NotFound
from tables import in_blocks, table, total
from wire import Answer

GENERIC_TYPES = ("xnat:experimentData", "xnat:subjectAssessorData", "xnat:imageSessionData")

SUBJECT_COLUMNS = ["ID", "project", "label", "insert_date", "insert_user", "URI"]
EXPERIMENT_COLUMNS = ["ID", "project", "date", "xsiType", "label", "insert_date",
                      "xnat:subjectassessordata/id", "URI"]
ASSESSOR_COLUMNS = ["ID", "project", "label", "date", "xsiType", "insert_date", "session_ID",
                    "session_label", "xnat:imageassessordata/id", "URI"]
SCAN_COLUMNS = ["xnat_imagescandata_id", "ID", "type", "quality", "xsiType", "note",
                "series_description", "URI"]
RECONSTRUCTION_COLUMNS = ["xnat_reconstructedimagedata_id", "ID", "type", "baseScanType", "URI"]
PROJECT_COLUMNS = ["ID", "secondary_ID", "name", "description", "pi_firstname", "pi_lastname",
                   "URI"]

# What the query may name beside the columns that are there without it. Projects and subjects do not
# tell their type.
MORE_COLUMNS = {
    "projects": ("pi_title", "pi_email", "alias", "insert_date", "insert_user"),
    "subjects": ("gender", "handedness", "dob", "yob", "age", "group", "src"),
    "experiments": ("subject_ID", "subject_label", "insert_user", "age", "scanner", "note"),
    "assessors": ("insert_user", "note"),
    "scans": ("frames", "image_session_ID", "uid", "start_time", "modality"),
    "reconstructions": ("xsiType", "note"),
}


def values_of(item, label, project):
    """All that a column may show, by its name in small letters."""
    if item.kind == "projects":
        return {"id": item.id, "secondary_id": item.id, "name": item.name,
                "description": item.description, "uri": f"/data/projects/{item.id}",
                "xsitype": item.xsi_type}
    values = {"id": item.id, "project": project.id, "label": label, "xsitype": item.xsi_type,
              "insert_date": item.created, "insert_user": item.creator, "date": item.date,
              "uri": f"/data/{item.kind}/{item.id}"}
    if item.kind == "experiments" and item.subject:
        values["subject_id"] = item.subject.id
        values["subject_label"] = item.subject.label
    if item.session:
        values["session_id"] = item.session.id
        values["session_label"] = item.session.label
        values["uri"] = f"/data/experiments/{item.session.id}/{item.kind}/{item.id}"
    if item.kind == "assessors":
        values["uri"] = f"/data/experiments/{item.id}"
    if item.kind in ("scans", "reconstructions"):
        values |= {"type": item.type, "quality": "usable" if item.kind == "scans" else "",
                   "note": item.note, "series_description": item.description,
                   "xnat_imagescandata_id": item.number,
                   "xnat_reconstructedimagedata_id": item.number}
    return values


def listing(request, kind, members, columns, key=None, limited=False):
    """`members` are (item, its label, the project it is seen in)."""
    if asked := request.parameter("columns"):
        columns = [column.lower() if "/" in column else column for column in asked.split(",")
                   if "/" in column or column in columns or column in MORE_COLUMNS[kind]]
        columns += [name for name in (key, "URI") if name and name not in columns]
    rows = []
    for member in members:
        values = values_of(*member)
        rows.append([values.get(column.rpartition("/")[2].lower(), "") for column in columns])
    if limited and request.parameter("limit") is not None:
        first = int(request.parameter("offset", "0"))
        return table(request, rows[first:first + int(request.parameter("limit"))], columns)
    return table(request, rows, columns, after=total(rows))


def matching(request, members):
    """Those whose values are what the query asks for."""
    members = list(members)
    for name in ("ID", "label", "project", "subject_ID", "subject_label"):
        if (wanted := request.parameter(name)) is not None:
            members = [member for member in members
                       if values_of(*member).get(name.lower()) in wanted.split(",")]
    if wanted := request.parameter("xsiType"):
        types = wanted.split(",")
        if not any(each in GENERIC_TYPES for each in types):
            members = [member for member in members if member[0].xsi_type in types]
    return members


# --- Documents -----------------------------------------------------------------------------------


def fields_of(item, label, project):
    fields = {name: value for name, value in (
        ("ID", item.id), ("label", label), ("project", project.id), ("type", item.type),
        ("date", item.date)) if value}
    if item.kind == "projects":
        fields = {"ID": item.id, "name": item.name, "secondary_ID": item.id,
                  "description": item.description}
    if item.kind == "experiments" and item.subject:
        fields["subject_ID"] = item.subject.id
    if item.session:
        fields["imageSession_ID" if item.kind == "assessors" else "image_session_ID"] = \
            item.session.id
    if item.kind == "scans":
        fields |= {"quality": "usable", "series_description": item.description}
    return fields


def children_of(archive, item, user):
    """(field, item) of what a document has inside."""
    if item.kind == "subjects":
        return [("experiments/experiment", each) for each in archive.parts_of(item)
                if archive.reads(user, each)]
    return ([("scans/scan", each) for each in item.scans.values()]
            + [("reconstructions/reconstructedImage", each)
               for each in item.reconstructions.values()]
            + [("assessors/assessor", each) for each in item.assessors.values()])


def json_item(archive, item, label, project, user):
    grouped = {}
    for field, child in children_of(archive, item, user):
        grouped.setdefault(field, []).append(
            json_item(archive, child, child.label, project, user))
    return {"children": [{"field": field, "items": items} for field, items in grouped.items()],
            "meta": {"xsi:type": item.xsi_type, "isHistory": False},
            "data_fields": fields_of(item, label, project)}


def xml_item(archive, item, label, project, user, name=None):
    name = name or "xnat:" + item.xsi_type.partition(":")[2].removesuffix("Data").replace(
        "mrSession", "MRSession").replace("project", "Project").replace("subject", "Subject")
    attributes = "".join(f" {key}={quoteattr(value)}"
                         for key, value in fields_of(item, label, project).items()
                         if key in ("ID", "label", "project", "type"))
    inside = {}
    for field, child in children_of(archive, item, user):
        outer, inner = field.split("/")
        inside.setdefault(outer, []).append(
            xml_item(archive, child, child.label, project, user, f"xnat:{inner}"))
    texts = "".join(f"<xnat:{outer}>{''.join(parts)}</xnat:{outer}>"
                    for outer, parts in inside.items())
    schema = ' xmlns:xnat="http://nrg.wustl.edu/xnat"' \
             ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    return f"<{name}{attributes} xsi:type={quoteattr(item.xsi_type)}{schema}>{texts}</{name}>"


def document(archive, request, item, label, project, user):
    if request.fields.get("accept", "").startswith("application/octet-stream"):
        return Answer(406)
    if request.parameter("format", "xml") == "json":
        text = json.dumps({"items": [json_item(archive, item, label, project, user)]},
                          ensure_ascii=False, separators=(",", ":"))
        return in_blocks(text, "application/json")
    text = xml_item(archive, item, label, project, user)
    return in_blocks(f'<?xml version="1.0" encoding="UTF-8"?>\n{text}', "text/xml")


def catalog_document(resource, checksums):
    """A resource as the XML of its catalog, whatever was asked for."""
    kind = "DCMCatalog" if resource.format == "DICOM" else "Catalog"
    entries = "".join(
        f"<cat:entry URI={quoteattr(entry.path)} ID={quoteattr(entry.path)}"
        f" cachePath={quoteattr(entry.path)} format={quoteattr(entry.format)}"
        f" content={quoteattr(entry.content_label)} digest={quoteattr(entry.digest(checksums))}/>"
        for entry in resource.entries.values())
    return in_blocks(
        f'<?xml version="1.0" encoding="UTF-8"?>\n<cat:{kind} ID={quoteattr(resource.label)}'
        f' xmlns:cat="http://nrg.wustl.edu/catalog"><cat:description>'
        f"{escape(resource.description)}</cat:description><cat:entries>{entries}</cat:entries>"
        f"</cat:{kind}>", "text/xml")


# --- By place ------------------------------------------------------------------------------------


class Listings:
    """GET of what is not a resource or a file."""

    def __init__(self, archive, settings):
        self._archive = archive
        self._settings = settings

    def answer(self, request, place, user):
        return getattr(self, "_" + place.route.leaf)(request, place, user)

    def _projects(self, request, _, user):
        members = [(project, "", project) for project in self._archive.projects.values()
                   if self._archive.sees(user, project)]
        return listing(request, "projects", members, PROJECT_COLUMNS)

    def _project(self, request, place, user):
        return document(self._archive, request, place.project, "", place.project, user)

    def _subjects(self, request, place, user):
        archive = self._archive
        if place.project is None:
            members = [(subject, subject.label, subject.project)
                       for subject in archive.subjects.values() if archive.reads(user, subject)]
            return listing(request, "subjects", matching(request, members), SUBJECT_COLUMNS,
                           limited=True)
        if not archive.reads_project(user, place.project):
            return None
        members = [(subject, label, place.project)
                   for subject, label in place.project.subjects.values()]
        return listing(request, "subjects", members, SUBJECT_COLUMNS, limited=True)

    def _subject(self, request, place, user):
        project = place.project or place.subject.project
        label = project.subjects[place.subject.id][1]
        return document(self._archive, request, place.subject, label, project, user)

    def _experiments(self, request, place, user):
        archive = self._archive
        if place.project is None:
            members = [(each, each.label, each.project) for each in archive.experiments.values()
                       if each.kind == "experiments" and archive.reads(user, each)]
            members = matching(request, members)
        elif not archive.reads_project(user, place.project):
            return None
        else:
            members = [(each, label, place.project)
                       for each, label in archive.sessions(place.project)
                       if place.subject is None or each.subject is place.subject]
            members = matching(request, members)
        return listing(request, "experiments", members, EXPERIMENT_COLUMNS,
                       "xnat:subjectassessordata/id", limited=True)

    def _experiment(self, request, place, user):
        if not place.experiments:
            raise NotFound("Unable to find the specified experiment.")
        item = place.experiments[0]
        project = place.project or item.project
        label = project.experiments[item.id][1]
        return document(self._archive, request, item, label, project, user)

    _assessor = _experiment

    def _session(self, place):
        # Only a part's name makes XNAT's template look for the session of a list.
        found = place.sessions or place.experiments
        if not found:
            raise NotFound("Unable to find the specified experiment.")
        return found[0]

    def _parts(self, request, place, kind, columns, key=None):
        session = self._session(place)
        members = [(part, part.label, session.project) for part in getattr(session, kind).values()]
        return listing(request, kind, members, columns, key)

    def _scans(self, request, place, _):
        return self._parts(request, place, "scans", SCAN_COLUMNS)

    def _reconstructions(self, request, place, _):
        return self._parts(request, place, "reconstructions", RECONSTRUCTION_COLUMNS)

    def _assessors(self, request, place, _):
        return self._parts(request, place, "assessors", ASSESSOR_COLUMNS,
                           "xnat:imageassessordata/id")

    def _scan(self, request, place, user):
        found = place.scans or place.reconstructions
        if not found:
            raise NotFound("Unable to find the specified scan.")
        project = place.project or found[0].project
        return document(self._archive, request, found[0], "", project, user)

    _reconstruction = _scan

    def _shares(self, request, place, user):
        item = (place.experiments or [place.subject])[0]
        if item is None:
            raise NotFound("Unable to find the specified experiment.")
        members = [(project, "", project) for project in self._archive.projects_of(item)
                   if self._archive.sees(user, project)]
        return listing(request, "projects", members, PROJECT_COLUMNS)

    _share = _shares

    def _resources(self, request, place, _):
        columns = ["xnat_abstractresource_id", "label", "element_name", "category", "cat_id",
                   "cat_desc", "file_count", "file_size", "tags", "content", "format"]
        found = place.resources(self._settings.lists_all and request.is_true("all"))
        if not found and not place.owners():
            raise NotFound("")
        rows = [[str(each.resource.number), each.resource.label, "xnat:resourceCatalog",
                 each.category if each.category != "resources" else self._settings.own_category,
                 each.cat_id, each.cat_desc, str(each.resource.count),
                 str(each.resource.total), each.resource.tags, each.resource.content,
                 each.resource.format] for each in found]
        return table(request, rows, columns, after=',"title": "Resources"' + total(rows))

    def _resource(self, _, place, __):
        found = place.wanted_resources(False)
        if not found:
            raise NotFound("Unable to find the specified resource.")
        return catalog_document(found[0].resource, self._settings.checksums)
