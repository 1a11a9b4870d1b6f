// `thole restart` and `thole scale`: ask for it, then wait until it is so.
#include <fmt/format.h>

#include "base/json.h"
#include "base/parse.h"
#include "cli/commands.h"
#include "cli/copied_folder.h"
#include "cli/follow.h"
#include "cli/report.h"
#include "cli/service_argument.h"
#include "model/defaults.h"

namespace thole::cli {
namespace {

using namespace std::chrono_literals;

struct Change {
    std::string service;
    std::string act;   // The last part of the target.
    std::string body;  // JSON.
    std::function<bool(const ServiceView&)> is_reached;
};

Result<int> carry_out(const Arguments& arguments, Client& client, Console& console,
                      const Change& change) {
    const Duration limit = TRY(arguments.duration("timeout", 10min));
    const Time begun = client.outside().env().clock.now();
    const std::string before = TRY(client.get("/api/v1/system"));
    const SystemView former = TRY(read_system(before));
    TRY(check_folder(client, former));
    TRY(check_service(former, arguments));
    const std::int64_t after = TRY(last_sequence(client));
    TRY(client.post(
        fmt::format("/api/v1/services/{}/{}", percent_encoded(change.service), change.act),
        change.body));
    const Waited waited = TRY(wait_until_settled(
        client, console,
        {.after = after, .limit = limit, .is_reached = [&](const SystemView& system) {
             const ServiceView* const service = system.find(change.service);
             return service == nullptr || change.is_reached(*service);
         }}));
    return report(console, waited,
                  {.service = change.service, .took = client.outside().env().clock.now() - begun});
}

}  // namespace

Result<int> restart(const Arguments& arguments, Client& client, Console& console) {
    return carry_out(arguments, client, console,
                     {.service = arguments.positionals[0],
                      .act = "restart",
                      .body = "{}",
                      .is_reached = [](const ServiceView&) { return true; }});
}

Result<int> scale(const Arguments& arguments, Client& client, Console& console) {
    const std::string& service = arguments.positionals[0];
    Result<std::int64_t> count = parse_integer(arguments.positionals[1], 1, model::kScaleMax);
    if (!count.ok()) {
        return std::move(count)
            .error()
            .within("the number of instances")
            .with_hint(fmt::format("thole scale {} 2", service));
    }
    JsonWriter w;
    w.begin_object().member("instances", *count).end_object();
    return carry_out(arguments, client, console,
                     {.service = service,
                      .act = "scale",
                      .body = w.take(),
                      .is_reached = [wanted = *count](const ServiceView& seen) {
                          return seen.instances_wanted == wanted;
                      }});
}

}  // namespace thole::cli
