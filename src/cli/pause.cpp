// `thole pause` and `thole resume`.
#include <fmt/format.h>

#include "base/json.h"
#include "cli/commands.h"
#include "cli/copied_folder.h"
#include "cli/moments.h"
#include "cli/printable.h"
#include "cli/service_argument.h"
#include "cli/system_view.h"
#include "model/defaults.h"

namespace thole::cli {
namespace {

using namespace std::chrono_literals;

constexpr Duration kLookEvery = 100ms;  // The edge tells its counts as often.

Result<SystemView> look(Client& client) { return read_system(TRY(client.get("/api/v1/system"))); }

int answer(Console& console, int code, std::string_view result, const SystemView& system) {
    if (!console.is_json()) return code;
    JsonWriter w;
    w.begin_object().member("format", 1).member("result", result).member("exit", code);
    console.data(w.key("system").raw(system.json).end_object().take());
    return code;
}

// Zero: no end.
Result<SystemView> put_paused(const Arguments& arguments, Client& client, bool is_paused,
                              Duration limit) {
    const SystemView former = TRY(look(client));
    TRY(check_folder(client, former));
    TRY(check_service(former, arguments));
    JsonWriter w;
    w.begin_object().member("paused", is_paused);
    if (limit != Duration::zero())
        w.member("for_ms", std::chrono::duration_cast<std::chrono::milliseconds>(limit).count());
    TRY(client.put(
        fmt::format("/api/v1/services/{}/paused", percent_encoded(arguments.positionals[0])),
        w.end_object().take()));
    return look(client);
}

}  // namespace

Result<int> pause(const Arguments& arguments, Client& client, Console& console) {
    const std::string& name = arguments.positionals[0];
    const Duration limit = TRY(arguments.duration("for", Duration::zero()));
    if (arguments.has("for") && limit < 1ms) {
        return invalid("--for: must be at least 1ms")
            .with_hint(fmt::format("thole pause {} --for 30s", name));
    }
    const Duration patience = TRY(arguments.duration("timeout", model::kDrainLimit));
    env::Clock& clock = client.outside().env().clock;
    const Time begun = clock.now();
    SystemView system = TRY(put_paused(arguments, client, true, limit));
    while (true) {
        const ServiceView* const service = system.find(name);
        if (service == nullptr || !service->is_paused) {
            console.problem(fmt::format("{0} is not paused any more\n  try: thole timeline {0}",
                                        printable(name)));
            return answer(console, kNotReached, "not paused", system);
        }
        if (service->in_flight() == 0) {
            const std::string& until = service->paused_until;
            console.talk(fmt::format(
                "{0} is paused{1}, and nothing is under way there; its requests wait{2}",
                printable(name), until.empty() ? "" : " until " + clock_of(client.outside(), until),
                until.empty() ? fmt::format(" for: thole resume {}", printable(name)) : ""));
            return answer(console, kServing, "paused", system);
        }
        if (client.outside().is_interrupted() || clock.now() - begun >= patience) {
            console.problem(fmt::format("{} is paused; still under way there: {}", printable(name),
                                        service->in_flight()));
            return answer(console, kInProgress, "in progress", system);
        }
        client.pause(kLookEvery);
        system = TRY(look(client));
    }
}

Result<int> resume(const Arguments& arguments, Client& client, Console& console) {
    const SystemView system = TRY(put_paused(arguments, client, false, Duration::zero()));
    console.talk(fmt::format("{} is not paused", printable(arguments.positionals[0])));
    return answer(console, kServing, "resumed", system);
}

}  // namespace thole::cli
