// `thole down`.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/json.h"
#include "cli/commands.h"
#include "cli/copied_folder.h"
#include "cli/follow.h"
#include "cli/system_view.h"

namespace thole::cli {
namespace {

using namespace std::chrono_literals;

constexpr Duration kDownPoll = 50ms;
constexpr Duration kLastLimit = 5s;
constexpr Duration kLookAgain = 1s;

int answer(Console& console, int code, std::string_view result) {
    if (console.is_json()) {
        JsonWriter w;
        w.begin_object().member("format", 1).member("result", result).member("exit", code);
        console.data(w.end_object().take());
    }
    return code;
}

// Nothing where nobody tells.
std::optional<SystemView> find_system(Client& client) {
    const Result<std::string> body = client.get("/api/v1/system");
    Result<SystemView> system = body.ok() ? read_system(*body) : body.error();
    if (!system.ok()) return std::nullopt;
    return std::move(system).value();
}

// keeper and watch leave last, a moment after their sockets.
std::vector<std::string> last_to_leave(const std::optional<SystemView>& system) {
    std::vector<std::string> processes;
    for (const RoleView& role : system ? system->roles : std::vector<RoleView>{}) {
        const bool is_last = role.role == "keeper" || role.role == "watch";
        if (is_last && role.pid > 1) processes.push_back(fmt::format("/proc/{}/stat", role.pid));
    }
    return processes;
}

// A zombie has ended; in a container there may be nobody who takes it.
bool any_is_there(Client& client, const std::vector<std::string>& paths) {
    return std::any_of(paths.begin(), paths.end(), [&](const std::string& path) {
        const auto stat = client.outside().env().files.read(path, 4096);
        return stat && stat->find(") Z ") == std::string::npos;
    });
}

bool keeper_is_there(Client& client) {
    return client.outside().env().files.exists(client.places().keeper_socket());
}

// An `up` that came after us: what we wait for does not come any more.
bool is_up_again(Client& client) {
    if (!client.is_there()) return false;
    const Duration patience = client.patience();
    client.set_patience(0s);
    const std::optional<SystemView> system = find_system(client);
    client.set_patience(patience);
    return system && system->phase == "running";
}

}  // namespace

Result<int> down(const Arguments& arguments, Client& client, Console& console) {
    const Duration limit = TRY(arguments.duration("timeout", 10min));
    if (!client.places().is_known() || (!client.is_there() && !keeper_is_there(client))) {
        console.talk(fmt::format("nothing runs here ({})", client.places().folder));
        return answer(console, kServing, "down");
    }
    env::Clock& clock = client.outside().env().clock;
    const Time begun = clock.now();
    const std::optional<SystemView> system = find_system(client);
    if (system) TRY(check_folder(client, *system));
    Result<std::int64_t> after = last_sequence(client);
    const std::vector<std::string> last = last_to_leave(system);
    Result<std::string> asked = after.ok() ? client.post("/api/v1/down", "{}") : after.error();
    // It was about to go when we came.
    if (!asked.ok() && client.is_there()) return std::move(asked).error();
    TimelineFollow follow(
        client, {.after = std::move(after).value_or(0)},
        [&](const Json& entry, std::string_view) { console.talk(told(client, console, entry)); });
    Time look_again = clock.now() + kLookAgain;
    while (client.is_there() || keeper_is_there(client)) {
        if (client.outside().is_interrupted()) {
            console.talk("not watched any more; it goes on");
            return answer(console, kInProgress, "in progress");
        }
        if (limit != kForever && clock.now() - begun >= limit) {
            console.problem(fmt::format("still in progress after {}\n  try: thole timeline -f",
                                        format_duration(clock.now() - begun)));
            return answer(console, kInProgress, "in progress");
        }
        client.pause(kDownPoll);
        follow.tend();
        if (clock.now() < look_again) continue;
        look_again = clock.now() + kLookAgain;
        if (is_up_again(client)) {
            console.problem("somebody said up meanwhile, and it runs again\n  try: thole down");
            return answer(console, kNotReached, "up again");
        }
    }
    const Time gone = clock.now();
    while (any_is_there(client, last) && clock.now() - gone < kLastLimit) client.pause(kDownPoll);
    console.talk(
        fmt::format("everything has ended, after {}", format_duration(clock.now() - begun)));
    return answer(console, kServing, "down");
}

}  // namespace thole::cli
