// Listeners and the snapshot: which ports there are, who answers at them, who may ask.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "control/control.h"
#include "control/ports.h"
#include "wire/snapshot.h"

namespace thole::control {
namespace {

using namespace std::chrono_literals;

constexpr Duration kListenAgainPause = std::chrono::seconds(1);
constexpr Duration kLookUpAgain = 1s;
constexpr Duration kParkAgainPause = 50ms;
constexpr Duration kParkAgainLimit = 10s;
constexpr Duration kLeaveLimit = 1s;  // An edge that nobody knows any more may just be leaving.

wire::SnapshotLimits limits_of(const model::RequestsSpec& requests) {
    return {.connect = model::kConnectLimit,
            .response_head = requests.try_limit,
            .idle = model::kIdleLimit,
            .tunnel = requests.tunnel,
            .hold = model::kHoldLimit,
            .held_requests_max = model::kHeldRequestsMax,
            .held_bytes_max = model::kHeldBytesMax,
            .write_stall = model::kWriteStallLimit,
            .body_grace = model::kBodyGrace,
            .body_bytes_max = requests.body_bytes_max,
            .body_bytes_per_second = model::kBodyBytesPerSecondMin,
            .total = requests.total_limit,
            .in_flight_max = requests.in_flight_max,
            .queued_max = requests.queued_max};
}

static_assert(model::kStickyNameMax <= wire::kStickyNameMax);

wire::SnapshotSticky sticky_of(const model::RequestsSpec& requests) {
    if (!requests.sticky_cookie.empty()) return {wire::StickyBy::Cookie, requests.sticky_cookie};
    if (!requests.sticky_header.empty()) return {wire::StickyBy::Header, requests.sticky_header};
    return {};
}

wire::SnapshotService service_in_snapshot(std::uint32_t id, const Service& service) {
    const model::RequestsSpec& requests = service.spec.requests;
    wire::SnapshotService said{id, service.row.name, limits_of(requests), sticky_of(requests)};
    if (requests.reports_rules) said.request_flags |= wire::kReportsRules;
    if (requests.keeps_encoded_slash) said.request_flags |= wire::kKeepsEncodedSlash;
    for (const std::string& name : requests.upgrades)
        said.upgrades += (said.upgrades.empty() ? "" : ", ") + name;
    return said;
}

}  // namespace

// Who answers there: the service of the row, and at a public port those that share it.
std::vector<Service*> Control::services_at(const PublicPorts& ports,
                                           const model::ListenerRow& row) {
    if (row.caller != kPublicCaller) return {&world_.services[row.service]};
    std::vector<Service*> services;
    for (const std::uint32_t id : ports.beside(row.service))
        services.push_back(&world_.services[id]);
    return services;
}

// A public port that is another service's now goes on as it is: opened anew it would have to be
// closed first.
void Control::pass_ports_on(const std::vector<model::ListenerRow>& wanted) {
    std::map<std::pair<std::uint32_t, std::uint16_t>, std::uint32_t> heirs;  // By public port.
    ListenerRows stay;
    for (const model::ListenerRow& want : wanted) {
        stay.add(want);
        if (want.caller == kPublicCaller)
            heirs.emplace(std::pair(want.address, want.port), want.service);
    }
    for (auto& [id, row] : world_.listeners) {
        if (row.caller != kPublicCaller || stay.has(row) || world_.listener_errors.contains(id))
            continue;
        const auto heir = heirs.find({row.address, row.port});
        if (heir == heirs.end()) continue;
        row.service = heir->second;
        put(row);
        snapshot_is_stale_ = true;
    }
}

// Of the services that are there: a row for each public port and each call; rows of others go, and
// so does one that was refused where its service has the port by another row now.
void Control::ensure_listeners() {
    std::vector<model::ListenerRow> wanted = wanted_listeners(world_);
    for (const auto& [id, row] : world_.listeners)
        world_.listener_last = std::max(world_.listener_last, id);
    pass_ports_on(wanted);
    ListenerRows stay, open, have;
    for (const model::ListenerRow& want : wanted) stay.add(want);
    for (const auto& [id, row] : world_.listeners) {
        if (!world_.listener_errors.contains(id)) open.add(row);
    }
    for (auto at = world_.listeners.begin(); at != world_.listeners.end();) {
        const auto& [id, row] = *at;
        const bool is_doubled = world_.listener_errors.contains(id) && open.has(row);
        if (stay.has(row) && !is_doubled) {
            have.add(row);
            ++at;
            continue;
        }
        keeper_->drop_listener(id);
        put(RemoveListener{id});
        world_.listener_errors.erase(id);
        snapshot_is_stale_ = true;
        at = world_.listeners.erase(at);
    }
    for (model::ListenerRow& want : wanted) {
        if (have.has(want)) continue;
        // Never one of before: the edge and keeper may have that one still.
        want.id = ++world_.listener_last;
        put(model::NumberRow{"listener", want.id});
        world_.listeners[want.id] = want;
        world_.listener_errors[want.id] = 0;
        put(want);
        snapshot_is_stale_ = true;
    }
    for (const auto& [id, row] : world_.listeners)
        keeper_->ensure_listener({id, row.address, row.port, 0});
    forget_port_trouble();
}

// Of those whose ports are open, or who want none.
void Control::forget_port_trouble() {
    std::set<std::uint32_t> troubled;
    const PublicPorts ports(world_);
    for (const auto& [id, error] : world_.listener_errors) {
        for (const Service* const service : services_at(ports, world_.listeners[id]))
            troubled.insert(service->row.id);
    }
    for (auto& [id, service] : world_.services) {
        if (!troubled.contains(id)) service.port_trouble.clear();
    }
}

void Control::drop_left_open() {
    for (const std::uint32_t id : std::exchange(world_.left_open, {})) keeper_->drop_listener(id);
}

void Control::ensure_refused() {
    for (const auto& [id, error] : world_.listener_errors) {
        const model::ListenerRow& row = world_.listeners[id];
        keeper_->ensure_listener({id, row.address, row.port, 0});
    }
}

void Control::on_listener(const wire::ListenerState& state) {
    const auto found = world_.listeners.find(state.id);
    if (found == world_.listeners.end()) {
        // Dropped while there was no keeper to hear it.
        if (state.error == 0) world_.left_open.insert(state.id);
        world_.listener_last = std::max(world_.listener_last, state.id);
        if (keeper_->is_synced()) drop_left_open();
        return;
    }
    model::ListenerRow& row = found->second;
    // Somebody holds our port, but not for long. Where keeper and watch died together, that is the
    // edge, which serves on it and will park it again; else most likely whoever is just leaving it.
    const Duration is_waited_for = world_.keeper.keepers > 1 ? kParkAgainLimit : kLeaveLimit;
    const bool is_carried =
        !world_.listener_errors.contains(row.id) && env_.clock.now() - synced_ < is_waited_for;
    if (state.error != 0 && is_carried) {
        listen_again_ = env_.timers.after(kParkAgainPause, [this] { ensure_listeners(); });
        return;
    }
    if (state.error != 0) {
        const bool is_new = world_.listener_errors[state.id] != state.error;
        world_.listener_errors[state.id] = state.error;
        const std::string why = from_errno(state.error, "").message.substr(2);
        std::string trouble = fmt::format("port {} cannot be opened: {}", row.port, why);
        if (state.error == EADDRINUSE)
            trouble += fmt::format("; try: ss -ltnp 'sport = :{}'", row.port);
        for (Service* const service : services_at(PublicPorts(world_), row))
            service->port_trouble = trouble;
        if (is_new)
            say({.kind = "port refused",
                 .service = world_.services[row.service].row.name,
                 .text = trouble});
        // A port for calls was ours before the machine's last start; somebody else has it now.
        if (row.caller != kPublicCaller) row.port = 0;
        refused_again_ = env_.timers.after(kListenAgainPause, [this] { ensure_refused(); });
        return;
    }
    const bool was_closed = world_.listener_errors.erase(state.id) > 0;
    if (was_closed) forget_port_trouble();
    const bool is_elsewhere = row.port != state.port;
    if (is_elsewhere) {
        row.port = state.port;
        put(row);
    }
    if (!was_closed && !is_elsewhere) return;
    snapshot_is_stale_ = true;
    mark_all();
}

// All ports that its environment names are known.
bool Control::has_listeners(const Service& service) const {
    return std::all_of(world_.listeners.begin(), world_.listeners.end(), [&](const auto& each) {
        return each.second.caller != service.row.id || each.second.port != 0;
    });
}

// The user of the release that is wanted, and while another one runs that one's, too. Where one of
// them cannot be looked up just now nobody is refused: it may be that one who calls.
void Control::name_callers(wire::SnapshotListener& listener) {
    const Service& caller = world_.services[listener.caller];
    std::vector<std::uint32_t> uids;
    bool are_known = true;
    const std::vector<const model::ServiceSpec*> specs = specs_in_use(world_, caller);
    for (auto spec = specs.rbegin(); spec != specs.rend(); ++spec) {
        const Result<env::Owner> owner = owner_of(caller, **spec);
        are_known = are_known && owner.ok();
        if (!owner)
            unknown_users_.insert((*spec)->user);
        else if (std::find(uids.begin(), uids.end(), owner->uid) == uids.end())
            uids.push_back(owner->uid);
    }
    const bool are_own = std::find(uids.begin(), uids.end(), 0U) == uids.end();
    listener.check_caller = env_.processes.self().uid == 0 && are_own && are_known ? 1 : 0;
    listener.caller_uid = uids.empty() ? 0 : uids.front();
    listener.caller_uid_too = uids.size() < 2 ? listener.caller_uid : uids[1];
}

void Control::look_up_again() {
    if (unknown_users_.empty()) return;
    look_up_again_ = env_.timers.after(kLookUpAgain, [this] {
        const bool is_known =
            std::any_of(unknown_users_.begin(), unknown_users_.end(),
                        [&](const auto& name) { return env_.processes.user(name).ok(); });
        if (!is_known) return look_up_again();
        snapshot_is_stale_ = true;
        mark_all();
    });
}

// One service that answers whatever is asked needs no routes.
void Control::name_routes(const PublicPorts& ports, const model::ListenerRow& row,
                          wire::SnapshotListener& listener) {
    for (const Service* const service : services_at(ports, row)) {
        if (!is_public(*service)) continue;
        const model::PublicSpec& spec = *service->spec.at_public;
        listener.trust.clear();
        for (const model::Network& network : spec.trust)
            listener.trust.push_back({network.address, network.bits});
        std::vector<std::string> hosts = spec.hosts;
        if (hosts.empty()) hosts.emplace_back();
        for (std::string& host : hosts)
            listener.routes.push_back({std::move(host), spec.path, service->row.id});
    }
    const bool is_one_for_all = listener.routes.size() == 1 &&
                                listener.routes.front().host.empty() &&
                                listener.routes.front().path.empty();
    if (is_one_for_all) listener.routes.clear();
}

// On the disk before the edge is asked for it. One that is not parked yet is left out: the edge
// could not take it.
void Control::publish_snapshot() {
    snapshot_is_stale_ = false;
    unknown_users_.clear();
    wire::Snapshot snapshot;
    snapshot.version = ++snapshot_;
    put(model::NumberRow{"snapshot", static_cast<std::int64_t>(snapshot_)});
    std::set<std::uint32_t> in_calls;
    for (const auto& [id, row] : world_.listeners) in_calls.insert({row.service, row.caller});
    for (const auto& [id, service] : world_.services) {
        // One that was removed is there as long as it is called, or calls.
        if (!service.row.is_removed || in_calls.contains(id))
            snapshot.services.push_back(service_in_snapshot(id, service));
    }
    const PublicPorts ports(world_);
    for (const auto& [id, row] : world_.listeners) {
        if (row.port == 0 || world_.listener_errors.contains(id)) continue;
        const bool is_public = row.caller == kPublicCaller;
        wire::SnapshotListener listener;
        listener.id = id;
        listener.kind = is_public ? wire::ListenerKind::Public : wire::ListenerKind::Call;
        listener.service = row.service;
        listener.caller = row.caller;
        if (is_public) {
            name_routes(ports, row, listener);
        } else {
            name_callers(listener);
        }
        snapshot.listeners.push_back(std::move(listener));
    }
    look_up_again();
    const std::string folder = options_.data + "/edge";
    const auto failed = std::make_shared<std::string>();
    const std::uint64_t oldest =
        std::exchange(snapshots_from_, std::max(snapshots_from_, snapshot_active_));
    env_.background.run(
        [&files = env_.files, folder, version = snapshot_, bytes = wire::write_snapshot(snapshot),
         failed, oldest, needed = snapshots_from_] {
            Status made = files.make_folder(folder, 0711);
            if (made)
                made = files.replace(fmt::format("{}/snapshot.{}", folder, version), bytes,
                                     env::Durability::Synced, 0644);
            if (!made) *failed = made.error().message;
            for (std::uint64_t each = oldest; each < needed; ++each)
                static_cast<void>(files.remove(fmt::format("{}/snapshot.{}", folder, each)));
        },
        [this, alive = alive_, version = snapshot_, failed] {
            if (!*alive) return;
            if (!failed->empty()) {
                if (std::exchange(snapshot_refused_, *failed) != *failed)
                    say({.kind = "trouble", .text = "the edge's snapshot: " + *failed});
                again_ = env_.timers.after(std::chrono::seconds(1), [this] {
                    snapshot_is_stale_ = true;
                    mark_all();
                });
                return;
            }
            snapshot_written_ = version;
            edge_->activate(version);
        });
}

// The edge goes on with the one before, which stays on the disk, until this one can be had.
void Control::on_snapshot(const wire::SnapshotApplied& applied) {
    if (applied.error == 0) {
        snapshot_active_ = applied.version;
        snapshot_refused_.clear();
        activate_again_ = {};
        return;
    }
    ++world_.snapshots_refused;
    if (std::exchange(snapshot_refused_, std::string(applied.reason)) != applied.reason)
        say({.kind = "snapshot refused", .text = snapshot_refused_});
    activate_again_ =
        env_.timers.after(std::chrono::seconds(1), [this] { edge_->activate(snapshot_written_); });
}

void Control::on_edge(const wire::Welcome& welcome) {
    const bool is_another = welcome.pid != world_.edge.pid && world_.edge.pid != 0;
    world_.edge = welcome;
    upgrade_meets(welcome);
    world_.edge_totals.begin();
    if (welcome.snapshot_version != 0) snapshot_active_ = welcome.snapshot_version;
    if (is_another)
        say({.kind = "edge serving",
             .text = fmt::format("another process carries the traffic (epoch {})", welcome.epoch)});
    for (const auto& [slot, instance] : world_.instances) {
        if (std::holds_alternative<recovery::Cutting>(instance.leaving))
            edge_->cut({slot, instance.id.generation});
        end_lasting(instance);
    }
    if (snapshot_written_ != 0 && welcome.snapshot_version != snapshot_written_)
        edge_->activate(snapshot_written_);
}

}  // namespace thole::control
