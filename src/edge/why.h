// What control asks of single requests. Main's own; reads the black boxes beside their writers.
#pragma once

#include <string>

#include "edge/runtime.h"
#include "wire/request.h"

namespace thole::edge {

// The frame that answers it: first what ended, oldest first, then what is under way, as each worker
// has just listed it.
std::string find_requests(const Runtime& runtime, const wire::WhyRequest& asked);

}  // namespace thole::edge
