// The JSON of an error as every refusal has it: {"error":{"code":…,"message":…,"hint":…}}.
// server.h says how it is read back.
#pragma once

#include <string>

#include "base/result.h"

namespace thole::web {

std::string refusal_of(const Error& error);

}  // namespace thole::web
