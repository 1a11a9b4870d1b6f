// The timeline as it grows, and waiting until a system has settled. What is under way is told line
// by line meanwhile.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"
#include "cli/client.h"
#include "cli/console.h"
#include "cli/line_stream.h"
#include "cli/system_view.h"

namespace thole::cli {

// An entry, and the JSON it came as.
using OnEntry = std::function<void(const Json& entry, std::string_view json)>;

struct TimelineQuery {
    std::int64_t after = 0;    // Entries after this one.
    std::int64_t newest = 0;   // At most so many of those that are there already; 0: 1000.
    std::string service = {};  // Empty: all.
};

// Hands on each entry after `after` once and in order, also where control restarts meanwhile.
class TimelineFollow {
public:
    TimelineFollow(Client& client, TimelineQuery query, OnEntry on_entry);
    // Call it every turn: begins the stream again where it broke.
    void tend();
    // Hands on what is there now and was not handed on yet; of failures the next tend() takes care.
    void catch_up();
    // Success, or why the API refuses it.
    Status refused() const;

private:
    void take(std::string_view line);
    void hand_on(const Json& entry, std::string_view json);

    Client& client_;
    TimelineQuery query_;
    OnEntry on_entry_;
    Time again_at_{};
    std::unique_ptr<LineStream> stream_;
};

// "/api/v1/timeline?after=…"
std::string target_of(const TimelineQuery& query);

// The sequence of the last entry, 0 where there is none.
Result<std::int64_t> last_sequence(Client& client);

// "14:03:07 web: v3: instance web-17.2 ready after 340 ms".
std::string told(Client& client, const Console& console, const Json& entry);

enum class Ended {
    Reached,
    TimedOut,
    Interrupted,
    Gone,  // thole itself has ended.
};

struct Waiting {
    std::int64_t after = 0;  // Tells what comes after this entry of the timeline.
    Duration limit;
    // Whether what was asked for is seen in the system; it must have settled, too.
    std::function<bool(const SystemView&)> is_reached;
};

struct Waited {
    Ended ended = Ended::Reached;
    SystemView system;  // As it was seen last.
};

Result<Waited> wait_until_settled(Client& client, Console& console, const Waiting& waiting);

// Tells what happens until Ctrl-C, or until thole has ended.
Result<Ended> watch_on(Client& client, Console& console);

}  // namespace thole::cli
