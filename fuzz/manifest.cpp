// Any bytes as thole.yaml. What must hold: a manifest or findings, never both or neither; findings
// point into the text and fit on a line each; what is accepted keeps every promise of the model.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/parse.h"
#include "manifest/read.h"

namespace {

using namespace thole;

void check_findings(std::string_view text, const std::vector<manifest::Finding>& findings) {
    const auto ends =
        std::count(text.begin(), text.end(), '\n') + std::count(text.begin(), text.end(), '\r') +
        std::count(text.begin(), text.end(), '\x85') +
        std::count(text.begin(), text.end(), '\xa8') + std::count(text.begin(), text.end(), '\xa9');
    int line = 1;
    for (const manifest::Finding& finding : findings) {
        CHECK(line <= finding.line && finding.line <= ends + 1);
        CHECK(1 <= finding.column && finding.column <= static_cast<int>(text.size()) + 1);
        CHECK(!finding.message.empty());
        for (const std::string& said : {finding.message, finding.hint}) {
            CHECK(std::none_of(said.begin(), said.end(),
                               [](unsigned char c) { return c < 0x20 || c == 0x7f; }));
        }
        line = finding.line;
    }
    const Error error = manifest::error_of(findings, "thole.yaml");
    const auto lines = std::count(error.message.begin(), error.message.end(), '\n') + 1;
    CHECK(static_cast<std::size_t>(lines) == findings.size());
}

void check_service(const model::Manifest& whole, const model::ServiceSpec& service) {
    const auto find = [&](const std::string& name) {
        return std::find_if(whole.services.begin(), whole.services.end(),
                            [&](const model::ServiceSpec& other) { return other.name == name; });
    };
    CHECK(check_name(service.name).ok());
    CHECK(&*find(service.name) == &service);
    CHECK(!service.path.empty() && service.path.front() != '/');
    CHECK(("/" + service.path + "/").find("/../") == std::string::npos);
    CHECK(!service.run.empty() && !service.run.words.front().empty());
    CHECK((service.port != 0) == (service.port_use == model::PortUse::Fixed));
    CHECK(!service.at_public || service.at_public->port != 0);
    CHECK(!service.at_public || service.port_use != model::PortUse::None);
    CHECK(1 <= service.scale && service.scale <= (service.is_single() ? 1 : model::kScaleMax));
    for (const std::string& callee : service.calls) {
        CHECK(callee != service.name);
        CHECK(std::count(service.calls.begin(), service.calls.end(), callee) == 1);
        CHECK(find(callee) != whole.services.end());
        CHECK(find(callee)->port_use != model::PortUse::None);
    }
    for (const auto& [name, value] : service.environment) {
        CHECK(!name.empty() && name.find('=') == std::string::npos && name != "PORT");
        CHECK(value.find('\0') == std::string::npos);
    }
    const model::RequestsSpec& requests = service.requests;
    for (const Duration limit : {requests.try_limit, requests.tunnel})
        CHECK(Duration::zero() < limit && limit <= model::kRequestTimeMax);
    CHECK(Duration::zero() <= requests.total_limit &&
          requests.total_limit <= model::kRequestTimeMax);
    CHECK(requests.in_flight_max > 0 && requests.in_flight_max <= model::kRequestsAtOnceMax);
    CHECK(requests.queued_max <= model::kRequestsAtOnceMax);
    CHECK(service.health.startup > Duration::zero() && service.stop_grace >= Duration::zero());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const manifest::Reading reading = manifest::read_manifest(text);
    CHECK(reading.manifest.has_value() == reading.findings.empty());
    if (!reading.manifest) {
        check_findings(text, reading.findings);
        return 0;
    }
    CHECK(check_name(reading.manifest->name).ok() && !reading.manifest->services.empty());
    for (const model::ServiceSpec& service : reading.manifest->services) {
        check_service(*reading.manifest, service);
    }
    return 0;
}
