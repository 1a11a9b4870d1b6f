#include "cli/service_argument.h"

#include <fmt/format.h>

#include "base/parse.h"

namespace thole::cli {

Result<std::string> service_of(const Arguments& arguments) {
    const std::string option = arguments.value("service");
    const std::string word = arguments.positionals.empty() ? "" : arguments.positionals[0];
    if (!option.empty() && !word.empty() && option != word) {
        return invalid(fmt::format("'{}' and --service {} are two services", word, option))
            .with_hint(fmt::format("thole {} {}", arguments.command, word));
    }
    const std::string service = word.empty() ? option : word;
    if (service.empty() && !arguments.has("service")) return service;
    if (Status named = check_name(service); !named.ok()) {
        return std::move(named).error().with_hint("thole ps");
    }
    return service;
}

Status check_service(const SystemView& system, const Arguments& arguments) {
    const std::string& service = arguments.positionals[0];
    if (system.find(service) != nullptr) return success();
    std::vector<std::string_view> names;
    std::string all;
    for (const ServiceView& each : system.services) {
        names.push_back(each.name);
        all += (all.empty() ? "" : ", ") + each.name;
    }
    const std::string near = nearest(service, names);
    return not_found(fmt::format("there is no service '{}'; there {}", service,
                                 all.empty() ? "is none" : "are: " + all))
        .with_hint(near.empty() ? "thole ps" : fmt::format("thole {} {}", arguments.command, near));
}

}  // namespace thole::cli
