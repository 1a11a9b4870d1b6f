#include "control/requests.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/json.h"
#include "model/instance.h"

namespace thole::control {
namespace {

constexpr std::size_t kDigitsMax = 32;
constexpr std::size_t kIdsNamed = 5;

bool is_same(const wire::RequestId& one, const wire::RequestId& other) {
    return one.high == other.high && one.low == other.low;
}

template <std::size_t kSize>
std::string text_in(const char (&bytes)[kSize]) {
    return {bytes, ::strnlen(bytes, kSize)};
}

template <std::size_t kSize>
void put_text(char (&to)[kSize], const std::string& text) {
    std::memcpy(to, text.data(), std::min(text.size(), kSize - 1));
}

// Where it is no name of these: behind the last.
template <std::size_t kSize>
std::size_t place_of(const std::string_view (&names)[kSize], const std::string& name) {
    return static_cast<std::size_t>(std::find(std::begin(names), std::end(names), name) - names);
}

template <std::size_t kSize>
std::string_view name_at(const std::string_view (&names)[kSize], std::size_t place) {
    return place < kSize ? names[place] : std::string_view("unknown");
}

// A number of the line; of another width, or missing: 0.
template <typename Number>
void read_number(const Json& line, std::string_view key, Number& into) {
    const std::int64_t value = line.integer_at(key).value_or(0);
    into = std::in_range<Number>(value) ? static_cast<Number>(value) : Number{0};
}

void read_tries(const Json& line, wire::RequestRecord& record) {
    read_number(line, "tries", record.tries);
    const Json* const all = line.find("ended_tries");
    if (all == nullptr || all->array() == nullptr) return;
    const std::size_t count = std::min<std::size_t>(all->array()->size(), wire::kTriesKept);
    for (std::size_t i = 0; i < count; ++i) {
        const Json& each = (*all->array())[i];
        wire::RequestTry& into = record.ended_tries[i];
        read_number(each, "slot", into.slot);
        read_number(each, "generation", into.generation);
        read_number(each, "took_us", into.took_us);
        into.end = static_cast<wire::TryEnd>(
            place_of(wire::kTryEndNames, each.text_at("end").value_or({})));
    }
}

void read_numbers(const Json& line, wire::RequestRecord& record) {
    read_number(line, "begun_ns", record.begun);
    read_number(line, "ended_ns", record.ended);
    read_number(line, "status", record.status);
    read_number(line, "listener", record.listener);
    read_number(line, "service", record.service);
    read_number(line, "release", record.release);
    read_number(line, "slot", record.at.slot);
    read_number(line, "generation", record.at.generation);
    read_number(line, "address", record.address);
    read_number(line, "head_us", record.head_us);
    read_number(line, "held_us", record.held_us);
    read_number(line, "attached_us", record.attached_us);
    read_number(line, "connect_us", record.connect_us);
    read_number(line, "answer_us", record.answer_us);
    read_number(line, "considered", record.considered);
    read_number(line, "bytes_in", record.bytes_in);
    read_number(line, "bytes_out", record.bytes_out);
    read_number(line, "attempts", record.attempts);
    read_number(line, "flags", record.flags);
}

std::string service_name(const World& world, std::uint32_t id) {
    const auto service = world.services.find(id);
    return service != world.services.end() ? service->second.row.name : std::string();
}

std::string instance_name(const std::string& service, std::uint32_t slot,
                          std::uint32_t generation) {
    return model::name_of(service.empty() ? "unknown" : service, {slot, generation});
}

// Whether the last try is none of those that ended without an answer.
bool has_last_try(const wire::RequestRecord& record) {
    return record.at.slot != wire::kNoSlot && record.phase >= wire::RequestPhase::Asked;
}

void write_tries(JsonWriter& json, const wire::RequestRecord& record, const std::string& service) {
    json.member("tries", std::uint32_t{record.tries} + (has_last_try(record) ? 1U : 0U));
    json.key("ended_tries").begin_array();
    const std::uint32_t kept = std::min<std::uint32_t>(record.tries, wire::kTriesKept);
    for (std::uint32_t i = 0; i < kept; ++i) {
        const wire::RequestTry& each = record.ended_tries[i];
        json.begin_object()
            .member("instance", instance_name(service, each.slot, each.generation))
            .member("end", name_at(wire::kTryEndNames, static_cast<std::size_t>(each.end)))
            .member("took_us", each.took_us)
            .end_object();
    }
    json.end_array();
}

void write_route(JsonWriter& json, const World& world, const wire::RequestRecord& record) {
    const auto listener = world.listeners.find(record.listener);
    const bool is_known = listener != world.listeners.end();
    const std::string caller = is_known ? service_name(world, listener->second.caller) : "";
    json.member("service", service_name(world, record.service)).member("caller", caller);
    json.member("port", is_known ? std::uint32_t{listener->second.port} : 0U);
    const std::uint32_t address = record.address;
    json.member("client", address == 0
                              ? std::string()
                              : fmt::format("{}.{}.{}.{}", address >> 24, address >> 16 & 255,
                                            address >> 8 & 255, address & 255));
}

void write_request(JsonWriter& json, const World& world, const ToldRequest& told) {
    const wire::RequestRecord& record = told.record;
    const std::string service = service_name(world, record.service);
    const bool is_under_way = (record.flags & wire::kRequestUnderWay) != 0;
    const bool is_own = (record.flags & wire::kRequestOwnAnswer) != 0;
    json.begin_object()
        .member("id", id_text(record.id))
        .member("began", format_wall(told.began))
        .member("under_way", is_under_way)
        .member("phase", name_at(wire::kPhaseNames, static_cast<std::size_t>(record.phase)))
        .member("outcome",
                is_under_way ? std::string_view() : name_at(wire::kOutcomeNames, record.outcome))
        .member("status", std::uint32_t{record.status})
        .member("request", text_in(record.target));
    write_route(json, world, record);
    json.member("considered", std::uint32_t{record.considered})
        .member("attempts", std::uint32_t{record.attempts});
    write_tries(json, record, service);
    json.member("instance", has_last_try(record)
                                ? instance_name(service, record.at.slot, record.at.generation)
                                : std::string())
        .member("release", record.release)
        .member("answered_by", is_under_way || record.status == 0 ? ""
                               : is_own                           ? "thole"
                                                                  : "instance")
        .member("why", text_in(record.why))
        .member("held", (record.flags & wire::kRequestHeld) != 0)
        .member("idempotent", (record.flags & wire::kRequestIdempotent) != 0)
        .member("head_us", record.head_us)
        .member("held_us", record.held_us)
        .member("attached_us", record.attached_us)
        .member("connect_us", record.connect_us)
        .member("answer_us", record.answer_us)
        .member("total_us", static_cast<std::int64_t>((static_cast<std::uint64_t>(record.ended) -
                                                       static_cast<std::uint64_t>(record.begun)) /
                                                      1000))
        .member("bytes_in", record.bytes_in)
        .member("bytes_out", record.bytes_out)
        .end_object();
}

}  // namespace

std::string id_text(const wire::RequestId& id) {
    return fmt::format("{:016x}{:016x}", id.high, id.low);
}

Result<wire::WhyRequest> read_request_id(std::string_view text) {
    const auto is_digit = [](char c) { return ('0' <= c && c <= '9') || ('a' <= c && c <= 'f'); };
    if (text.size() < wire::kWhyDigitsMin || text.size() > kDigitsMax ||
        !std::all_of(text.begin(), text.end(), is_digit))
        return invalid(
            fmt::format("'{}' is no request's id: {} to {} of 0-9 and a-f, as the "
                        "answer's X-Request-Id has them",
                        text, wire::kWhyDigitsMin, kDigitsMax));
    std::string whole(text);
    whole.resize(kDigitsMax, '0');
    wire::WhyRequest asked{};
    asked.digits = static_cast<std::uint32_t>(text.size());
    std::from_chars(whole.data(), whole.data() + 16, asked.id.high, 16);
    std::from_chars(whole.data() + 16, whole.data() + kDigitsMax, asked.id.low, 16);
    return asked;
}

std::optional<ToldRequest> read_access_line(std::string_view line) {
    const Result<Json> read = parse_json(line);
    if (!read.ok()) return std::nullopt;
    const Result<wire::WhyRequest> id = read_request_id(read->text_at("id").value_or({}));
    if (!id.ok() || id->digits != kDigitsMax) return std::nullopt;
    ToldRequest told;
    told.record.id = id->id;
    told.began = wall_from_nanoseconds(
        std::clamp<std::int64_t>(read->integer_at("time_ms").value_or(0), 0, 1LL << 42) *
        1'000'000);
    read_numbers(*read, told.record);
    told.record.outcome = static_cast<std::uint8_t>(
        place_of(wire::kOutcomeNames, read->text_at("outcome").value_or({})));
    told.record.phase = static_cast<wire::RequestPhase>(
        place_of(wire::kPhaseNames, read->text_at("phase").value_or({})));
    put_text(told.record.target, read->text_at("request").value_or({}));
    put_text(told.record.why, read->text_at("why").value_or({}));
    read_tries(*read, told.record);
    return told;
}

std::vector<ToldRequest> find_in_access(std::string_view text, const wire::WhyRequest& asked) {
    std::vector<ToldRequest> found;
    const std::string digits = id_text(asked.id).substr(0, asked.digits);
    const std::string begin = "{\"id\":\"" + digits;
    for (std::size_t at = text.find(begin);
         at != std::string_view::npos && found.size() < wire::kWhyRowsMax;
         at = text.find(begin, at + 1)) {
        if (at > 0 && text[at - 1] != '\n') continue;
        const std::size_t end = text.find('\n', at);
        if (const auto told = read_access_line(text.substr(at, end - at))) found.push_back(*told);
    }
    return found;
}

void add_missing(std::vector<ToldRequest>& told, const std::vector<ToldRequest>& more) {
    for (const ToldRequest& each : more) {
        const bool is_there = std::any_of(told.begin(), told.end(), [&](const ToldRequest& other) {
            return is_same(each.record.id, other.record.id) &&
                   each.record.begun == other.record.begun &&
                   each.record.listener == other.record.listener;
        });
        if (!is_there) told.push_back(each);
    }
    std::stable_sort(told.begin(), told.end(),
                     [](const auto& one, const auto& other) { return one.began < other.began; });
}

Result<std::string> requests_json(const World& world, const std::vector<ToldRequest>& told) {
    std::vector<std::string> ids;
    for (const ToldRequest& each : told) {
        const std::string id = id_text(each.record.id);
        if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
    }
    if (ids.size() > 1) {
        const std::string first = ids[0];
        std::string named;
        for (std::size_t i = 0; i < ids.size() && i < kIdsNamed; ++i)
            named += (i == 0 ? "" : ", ") + ids[i];
        return conflict(fmt::format("the ids of {} requests begin so: {}{}", ids.size(), named,
                                    ids.size() > kIdsNamed ? ", …" : ""))
            .with_hint("thole why " + first);
    }
    JsonWriter json;
    json.begin_object().member("id", ids.empty() ? std::string() : ids[0]);
    json.key("requests").begin_array();
    for (const ToldRequest& each : told) write_request(json, world, each);
    return json.end_array().end_object().take();
}

}  // namespace thole::control
