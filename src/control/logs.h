#pragma once
#include <memory>
#include <string>
#include <vector>
#include "env/env.h"
namespace thole::control {
struct SpoolSource { std::string service = {}, instance = {}, stream = {}, path = {}; };
struct LogLine { std::string text; };
class SpoolTail { public: SpoolTail(env::Files&, SpoolSource) {} std::vector<LogLine> last_lines(std::size_t) { return {}; } std::vector<LogLine> read_new(std::size_t, Time) { return {}; } };
inline std::string log_line_json(const LogLine& l) { return l.text; }
}
