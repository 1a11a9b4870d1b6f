// Faults on purpose: what the API is asked and says of them.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/json.h"
#include "base/parse.h"
#include "control/api.h"

namespace thole::control {
namespace {

using namespace std::chrono_literals;

constexpr std::array<std::string_view, static_cast<std::size_t>(wire::FaultKind::Count_)> kKinds = {
    "delay", "abort", "reset", "hang", "slow-body", "bandwidth", "partition"};

Result<std::int64_t> number_at(const Json& body, std::string_view key, std::int64_t least,
                               std::int64_t most) {
    if (body.find(key) == nullptr) return std::int64_t{0};
    const std::int64_t value = TRY(body.integer_at(key));
    if (value < least || value > most)
        return invalid(fmt::format("{}: must be {} to {}", key, least, most))
            .with_hint("thole help fault");
    return value;
}

template <std::size_t Size>
Status copy_text(char (&to)[Size], const std::string& from, std::string_view key) {
    const bool has_controls = std::any_of(from.begin(), from.end(), [](char c) {
        return static_cast<unsigned char>(c) < ' ' || c == 0x7f;
    });
    if (from.size() >= Size || has_controls)
        return invalid(fmt::format("{}: must be a line of up to {} bytes", key, Size - 1));
    std::memcpy(to, from.data(), from.size());
    return success();
}

Result<std::string> text_or_nothing(const Json& body, std::string_view key) {
    if (body.find(key) == nullptr) return std::string();
    return body.text_at(key);
}

Result<std::uint32_t> service_at(World& world, const Json& body, std::string_view key) {
    const std::string name = TRY(body.text_at(key));
    const Service* const service = find_service(world, name);
    if (service == nullptr)
        return not_found(fmt::format("there is no service '{}'", name)).with_hint("thole ps");
    return service->row.id;
}

// "v2", one of the service's releases; 0: not said.
Result<std::uint32_t> release_at(const World& world, std::uint32_t service, const Json& body) {
    if (body.find("release") == nullptr) return 0U;
    const std::string text = TRY(body.text_at("release"));
    const Result<std::int64_t> number =
        text.starts_with('v') ? parse_integer(std::string_view(text).substr(1), 1, 0xffffffff)
                              : Result<std::int64_t>(invalid("no number"));
    const Service& of = world.services.at(service);
    if (!number.ok() || !of.releases.contains(static_cast<std::uint32_t>(*number)))
        return not_found(fmt::format("'{}' has no release '{}'", of.row.name, text))
            .with_hint("thole timeline " + of.row.name);
    return static_cast<std::uint32_t>(*number);
}

// "web-17", or as one that runs there is called, "web-17.2": whoever is in that slot.
Result<std::uint32_t> slot_at(const World& world, std::uint32_t service, const Json& body) {
    if (body.find("instance") == nullptr) return std::uint32_t{wire::kAnySlot};
    const std::string text = TRY(body.text_at("instance"));
    const std::string& name = world.services.at(service).row.name;
    for (const auto& [number, slot] : world.slots) {
        const std::string known = fmt::format("{}-{}", name, number);
        const bool is_it = text == known || text.starts_with(known + ".");
        if (slot.row.service == service && is_it) return number;
    }
    return not_found(fmt::format("'{}' has no instance '{}'", name, text)).with_hint("thole ps");
}

// All but its number and its end. What makes no sense together is the edge's to say.
Result<wire::FaultTerms> read_terms(World& world, const Json& body) {
    constexpr std::int64_t kMs = 1'000'000;
    wire::FaultTerms terms{};
    terms.service = TRY(service_at(world, body, "service"));
    terms.caller = wire::kAnyCaller;
    if (body.find("caller") != nullptr) terms.caller = TRY(service_at(world, body, "caller"));
    terms.release = TRY(release_at(world, terms.service, body));
    terms.slot = TRY(slot_at(world, terms.service, body));
    const std::string kind = TRY(body.text_at("kind"));
    const auto found = std::find(kKinds.begin(), kKinds.end(), kind);
    if (found == kKinds.end())
        return invalid(fmt::format("kind: must be one of {}", fmt::join(kKinds, ", ")));
    terms.kind = static_cast<wire::FaultKind>(found - kKinds.begin());
    terms.share = static_cast<std::uint32_t>(TRY(number_at(body, "share", 1, 1000)));
    terms.status = static_cast<std::uint32_t>(TRY(number_at(body, "status", 400, 599)));
    terms.delay = TRY(number_at(body, "delay_ms", 1, 60'000)) * kMs;
    terms.jitter = TRY(number_at(body, "jitter_ms", 0, 60'000)) * kMs;
    terms.rate = static_cast<std::uint64_t>(TRY(number_at(body, "rate", 1, 1'000'000'000)));
    const std::string field = TRY(text_or_nothing(body, "field"));
    const std::string value = TRY(text_or_nothing(body, "value"));
    TRY(copy_text(terms.field, field, "field"));
    TRY(copy_text(terms.value, value, "value"));
    if (body.find("whole") != nullptr) {
        const bool is_whole = TRY(body.boolean_at("whole"));
        if (is_whole) terms.flags |= wire::kFaultWhole;
    }
    return terms;
}

void write_fault(JsonWriter& json, const World& world, const wire::FaultState& fault,
                 const SystemSaid& said) {
    const auto service = world.services.find(fault.terms.service);
    const auto why = world.fault_ends.find(fault.terms.id);
    const Time until = time_from_nanoseconds(fault.terms.until);
    json.begin_object()
        .member("id", fault.terms.id)
        .member("service", service == world.services.end() ? "" : service->second.row.name)
        .member("text", words_of(world, fault.terms))
        .member("by", std::string_view(fault.terms.by))
        .member("on", said.now < until)
        .member("until", format_wall(said.wall + (until - said.now)))
        .member("matched", fault.matched)
        .member("hurt", fault.hurt)
        .member("ended", why == world.fault_ends.end() ? "" : why->second)
        .end_object();
}

}  // namespace

std::string faults_json(const World& world, const SystemSaid& said) {
    JsonWriter json;
    json.begin_array();
    for (const wire::FaultState& fault : world.faults) {
        if (nanoseconds_of(said.now) < fault.terms.until) write_fault(json, world, fault, said);
    }
    return json.end_array().take();
}

void Api::post_fault(const web::ServerRequest& request, const web::Responder& to) {
    const Result<Json> body = parse_json(request.body);
    if (!body) return to.refuse(body.error());
    Result<wire::FaultTerms> terms = read_terms(control_.world_, *body);
    if (!terms) return to.refuse(terms.error());
    const Result<std::int64_t> lasts_ms = body->integer_at("for_ms");
    if (!lasts_ms) return to.refuse(lasts_ms.error());
    const std::int64_t most =
        std::chrono::duration_cast<std::chrono::milliseconds>(model::kFaultLimit).count();
    if (*lasts_ms < 1 || *lasts_ms > most)
        return to.refuse(
            invalid(fmt::format("for_ms: must be 1 to {}", most)).with_hint("thole help fault"));
    if (control_.world_.is_down)
        return to.refuse(conflict("the system is stopping").with_hint("thole up"));
    const std::uint32_t uid = request.peer.uid;
    const Result<std::string> why = text_or_nothing(*body, "why");
    if (!why) return to.refuse(why.error());
    const std::string by =
        (uid == 0 ? "root" : fmt::format("uid {}", uid)) + (why->empty() ? "" : ": " + *why);
    if (const Status copied = copy_text(terms->by, by, "why"); !copied)
        return to.refuse(copied.error());
    terms->id = control_.next_fault();
    terms->until = nanoseconds_of(control_.env_.clock.now()) + *lasts_ms * 1'000'000;
    control_.inject(*terms, [to, id = terms->id](const Status& done) {
        if (!done) return to.refuse(done.error());
        to.answer(200, fmt::format("{{\"id\":{}}}", id));
    });
}

// Ending what is over, or never was, is no error: that it is not on is what was asked for.
void Api::delete_fault(const web::ServerRequest& request, const web::Responder& to) {
    const std::string said = request.path.substr(request.path.rfind('/') + 1);
    const Result<std::int64_t> id = parse_integer(said, 1, 0xffffffff);
    if (!id) return to.refuse(id.error());
    wire::FaultTerms terms{};
    terms.id = static_cast<std::uint32_t>(*id);
    // Nothing of it has to be kept: a disk that hangs, by a fault perhaps, does not hold it up.
    control_.edge_->inject(terms, [to](const Status& done) {
        if (!done) return to.refuse(done.error());
        to.answer(200, "{}");
    });
}

void Api::get_faults(const web::Responder& to) {
    SystemSaid said;
    said.now = control_.env_.clock.now();
    said.wall = control_.env_.clock.wall();
    JsonWriter json;
    json.begin_object().key("faults").begin_array();
    for (const wire::FaultState& fault : control_.world_.faults)
        write_fault(json, control_.world_, fault, said);
    to.answer(200, json.end_array().end_object().take());
}

}  // namespace thole::control
