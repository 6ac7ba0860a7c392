#pragma once

#include <string>
#include <vector>

#include "common/json/form_description.h"
#include "common/json/json_value.h"

namespace red {

/// One of the forms that a document may have.
struct NamedForm {
  std::string title;
  FormDescription form;
};

/// The JSON Schema (draft-07) of a document that has exactly one of the forms. It takes what the
/// forms' tables take and nothing else, but for what a schema cannot say: keys that stand twice,
/// what elements say together, and what the readers of fields look for outside of the document.
JsonValue json_schema(const std::string& title, const std::vector<NamedForm>& forms);

}  // namespace red
