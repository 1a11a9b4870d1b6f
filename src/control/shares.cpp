#include "control/shares.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/parse.h"
#include "control/control.h"

namespace thole::control {
namespace {

constexpr const char* kTry = R"({"shares": {"v2": "1%", "v1": "99%"}})";

void put_newest_first(Parts& parts) {
    std::sort(parts.begin(), parts.end(),
              [](const auto& left, const auto& right) { return left.release > right.release; });
}

std::uint32_t all_of(const Parts& parts) {
    std::uint32_t all = 0;
    for (const wire::ReleaseShare& part : parts) all += part.per_mille;
    return all;
}

// "v2" is 2.
Result<std::uint32_t> release_of(std::string_view name) {
    if (!name.starts_with('v')) return invalid("is no release");
    return static_cast<std::uint32_t>(TRY(parse_integer(name.substr(1), 1, 0xffffffff)));
}

Result<wire::ReleaseShare> read_part(const Json::Member& member,
                                     const std::vector<std::uint32_t>& releases) {
    const auto& [name, share] = member;
    const Result<std::uint32_t> release = release_of(name);
    if (!release || std::find(releases.begin(), releases.end(), *release) == releases.end())
        return not_found(fmt::format("shares: '{}' neither serves nor is about to; these do: v{}",
                                     name, fmt::join(releases, " and v")))
            .with_hint("thole ps");
    if (share.text() == nullptr)
        return invalid(fmt::format("shares.{}: must be a text like \"1%\"", name)).with_hint(kTry);
    const Result<std::int64_t> part = parse_share(*share.text());
    if (!part) return Error{part.error()}.within("shares." + name).with_hint(kTry);
    return wire::ReleaseShare{*release, static_cast<std::uint32_t>(*part)};
}

}  // namespace

std::optional<Parts> parts_of(const model::SharesRow& row) {
    Parts parts;
    std::string_view left = row.parts;
    while (!left.empty()) {
        const std::string_view part = left.substr(0, left.find(' '));
        left.remove_prefix(std::min(left.size(), part.size() + 1));
        const std::size_t colon = part.find(':');
        if (colon == part.npos) return std::nullopt;
        const auto release = parse_integer(part.substr(0, colon), 1, 0xffffffff);
        const auto share = parse_integer(part.substr(colon + 1), 1, wire::kSharesWhole);
        if (!release || !share) return std::nullopt;
        if (!parts.empty() && parts.back().release <= *release) return std::nullopt;
        parts.push_back({static_cast<std::uint32_t>(*release), static_cast<std::uint32_t>(*share)});
    }
    const bool is_whole = parts.size() <= wire::kSharesMax && all_of(parts) == wire::kSharesWhole;
    if (!is_whole || text_of(parts) != row.parts) return std::nullopt;
    return parts;
}

std::string text_of(const Parts& parts) {
    std::string text;
    for (const wire::ReleaseShare& part : parts)
        text += fmt::format("{}{}:{}", text.empty() ? "" : " ", part.release, part.per_mille);
    return text;
}

std::uint32_t part_of(const Parts& parts, std::uint32_t release) {
    const auto found = std::find_if(parts.begin(), parts.end(),
                                    [&](const auto& part) { return part.release == release; });
    return found == parts.end() ? 0 : found->per_mille;
}

std::string words_of(const Parts& parts) {
    std::string text;
    for (const wire::ReleaseShare& part : parts)
        text += fmt::format("{}v{} {}", text.empty() ? "" : ", ", part.release,
                            print_share(part.per_mille));
    return text;
}

Result<Parts> read_parts(const Json& said, const std::vector<std::uint32_t>& releases) {
    if (said.object() == nullptr)
        return invalid("shares: must have a share for each release").with_hint(kTry);
    Parts parts;
    for (const Json::Member& member : *said.object()) {
        const wire::ReleaseShare part = TRY(read_part(member, releases));
        if (part.per_mille > 0) parts.push_back(part);
    }
    const std::uint32_t all = all_of(parts);
    if (!said.object()->empty() && all != wire::kSharesWhole)
        return invalid(fmt::format("shares: together {}, and must be 100%", print_share(all)))
            .with_hint(kTry);
    put_newest_first(parts);
    return parts;
}

model::SharesRow next_row(std::uint32_t service, const Parts& parts,
                          const std::optional<model::SharesRow>& before, Random& random) {
    model::SharesRow row{service, 0, 0, text_of(parts)};
    const std::optional<Parts> parts_before = before ? parts_of(*before) : std::nullopt;
    if (parts_before && parts_before->size() > 1) {
        row.salt_low = before->salt_low;
        row.salt_high = before->salt_high;
    } else {
        row.salt_low = static_cast<std::int64_t>(random.next());
        row.salt_high = static_cast<std::int64_t>(random.next());
    }
    return row;
}

wire::ServiceShares for_edge(const model::SharesRow& row, const Parts& parts) {
    wire::ServiceShares shares{};
    shares.salt_low = static_cast<std::uint64_t>(row.salt_low);
    shares.salt_high = static_cast<std::uint64_t>(row.salt_high);
    shares.service = row.service;
    shares.count = static_cast<std::uint32_t>(parts.size());
    std::copy(parts.begin(), parts.end(), shares.of);
    return shares;
}

// --- Control -------------------------------------------------------------------------------------

Parts Control::shares_of(const Service& service) const {
    const auto found = world_.shares.find(service.row.id);
    return found == world_.shares.end() ? Parts{} : parts_of(found->second).value_or(Parts{});
}

// On the disk before the edge hears of it: whoever is control next says the same.
void Control::share(const Service& service, const Parts& parts, std::string_view why) {
    const std::uint32_t id = service.row.id;
    const auto found = world_.shares.find(id);
    const bool was_shared = found != world_.shares.end();
    if (parts.empty()) {
        if (!was_shared) return;
        world_.shares.erase(found);
        put(RemoveShares{id});
    } else {
        const std::optional<model::SharesRow> before =
            was_shared ? std::optional(found->second) : std::nullopt;
        world_.shares[id] = next_row(id, parts, before, env_.random);
        put(world_.shares[id]);
    }
    say({.kind = parts.empty() ? "shares ended" : "shares changed",
         .service = service.row.name,
         .text = parts.empty() ? std::string(why) : fmt::format("{}, {}", words_of(parts), why)});
    after_commit([this, all = all_shares()] { edge_->share(all); });
    mark(id);
}

// Without any the release that is taken back would get more as long as it is there. These have no
// salt, which nobody needs where one release has it all: so whoever is control then ends them.
void Control::leave_all_to_serving(const Service& service, std::string_view why) {
    if (shares_of(service).empty()) return;
    share(service, {{service.row.serving, wire::kSharesWhole}}, why);
    model::SharesRow& row = world_.shares[service.row.id];
    row.salt_low = row.salt_high = 0;
    put(row);
}

// What was said of what serves, before its deploy, is of the next one.
bool Control::are_of_another(const Service& service, std::uint32_t wanted) const {
    const auto row = world_.shares.find(service.row.id);
    if (row == world_.shares.end()) return false;
    if (row->second.salt_low == 0 && row->second.salt_high == 0) return true;
    const Parts parts = shares_of(service);
    return std::any_of(parts.begin(), parts.end(), [&](const auto& part) {
        return part.release != service.row.serving && part.release != wanted;
    });
}

// As they are now: the disk may not have those that are said a moment later.
std::vector<wire::ServiceShares> Control::all_shares() const {
    std::vector<wire::ServiceShares> all;
    for (const auto& [id, row] : world_.shares) {
        if (const std::optional<Parts> parts = parts_of(row)) all.push_back(for_edge(row, *parts));
    }
    return all;
}

void Control::when_edge_shares(std::function<void()> act) {
    if (edge_->is_shared()) return act();
    sharing_.push_back(std::move(act));
}

void Control::on_shares_applied() {
    for (const std::function<void()>& act : std::exchange(sharing_, {})) act();
}

}  // namespace thole::control
