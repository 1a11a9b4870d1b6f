// Listeners and the snapshot: which ports there are, who answers at them, who may ask.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "control/control.h"
#include "wire/snapshot.h"

namespace thole::control {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t kPublic = 0xffffffff;
constexpr Duration kListenAgainPause = std::chrono::seconds(1);
constexpr Duration kLookUpAgain = 1s;
constexpr Duration kParkAgainPause = 50ms;
constexpr Duration kParkAgainLimit = 10s;
constexpr Duration kLeaveLimit = 1s;  // An edge that nobody knows any more may just be leaving.

// "127.0.0.1", which the manifest's reader has checked.
std::uint32_t parse_ip(std::string_view text) {
    std::uint32_t ip = 0;
    std::uint32_t part = 0;
    for (const char c : text) {
        if (c == '.') {
            ip = (ip << 8) | part;
            part = 0;
        } else {
            part = part * 10 + static_cast<std::uint32_t>(c - '0');
        }
    }
    return (ip << 8) | part;
}

wire::SnapshotLimits default_limits() {
    return {.connect = model::kConnectLimit,
            .response_head = model::kResponseHeadLimit,
            .idle = model::kIdleLimit,
            .tunnel = model::kTunnelLimit,
            .hold = model::kHoldLimit,
            .held_requests_max = model::kHeldRequestsMax,
            .held_bytes_max = model::kHeldBytesMax,
            .write_stall = model::kWriteStallLimit,
            .body_grace = model::kBodyGrace,
            .body_bytes_max = model::kBodyBytesMax,
            .body_bytes_per_second = model::kBodyBytesPerSecondMin};
}

wire::SnapshotService service_in_snapshot(std::uint32_t id, const Service& service) {
    const model::RequestsSpec& requests = service.spec.requests;
    wire::SnapshotService said{id, service.row.name, default_limits()};
    if (requests.reports_rules) said.request_flags |= wire::kReportsRules;
    if (requests.keeps_encoded_slash) said.request_flags |= wire::kKeepsEncodedSlash;
    for (const std::string& name : requests.upgrades)
        said.upgrades += (said.upgrades.empty() ? "" : ", ") + name;
    return said;
}

bool is_public(const Service& service) { return service.spec.at_public && !service.row.is_removed; }

bool has_same_port(const Service& one, const Service& other) {
    return one.spec.at_public->port == other.spec.at_public->port &&
           one.spec.at_public->bind == other.spec.at_public->bind;
}

bool may_share(const Service& one, const Service& other) {
    return one.spec.at_public->trust == other.spec.at_public->trust &&
           !model::have_same_route(*one.spec.at_public, *other.spec.at_public);
}

bool is_same(const model::ListenerRow& have, const model::ListenerRow& want) {
    return have.service == want.service && have.caller == want.caller &&
           have.address == want.address && (want.port == 0 || have.port == want.port);
}

bool is_among(const std::vector<model::ListenerRow>& wanted, const model::ListenerRow& have) {
    return std::any_of(wanted.begin(), wanted.end(),
                       [&](const auto& want) { return is_same(have, want); });
}

}  // namespace

// Who answers there: the service of the row, and at a public port those that share it. Manifests
// that do not know of each other may want what cannot be shared; then each who came later stands
// alone, with those that can share with it.
std::vector<Service*> Control::services_at(const model::ListenerRow& row) {
    Service& own = world_.services[row.service];
    if (row.caller != kPublic || !is_public(own)) return {&own};
    std::vector<std::vector<Service*>> groups;
    for (auto& [id, service] : world_.services) {
        if (!is_public(service) || !has_same_port(service, own)) continue;
        const auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& each) {
            return std::all_of(each.begin(), each.end(),
                               [&](const Service* other) { return may_share(service, *other); });
        });
        (group == groups.end() ? groups.emplace_back() : *group).push_back(&service);
    }
    return *std::find_if(groups.begin(), groups.end(), [&](const auto& each) {
        return std::find(each.begin(), each.end(), &own) != each.end();
    });
}

// A public port that is another service's now goes on as it is: opened anew it would have to be
// closed first.
void Control::pass_ports_on(const std::vector<model::ListenerRow>& wanted) {
    for (auto& [id, row] : world_.listeners) {
        if (row.caller != kPublic || is_among(wanted, row) || world_.listener_errors.contains(id))
            continue;
        const auto heir = std::find_if(wanted.begin(), wanted.end(), [&](const auto& want) {
            return want.caller == kPublic && row.port == want.port && row.address == want.address;
        });
        if (heir == wanted.end()) continue;
        row.service = heir->service;
        put(row);
        snapshot_is_stale_ = true;
    }
}

// One that was refused, and its service has the port by another row now.
bool Control::is_doubled(const model::ListenerRow& row) const {
    return world_.listener_errors.contains(row.id) &&
           std::any_of(world_.listeners.begin(), world_.listeners.end(), [&](const auto& each) {
               return each.first != row.id && is_same(each.second, row) &&
                      !world_.listener_errors.contains(each.first);
           });
}

// Of the services that are there: a row for each public port and each call; rows of others go.
void Control::ensure_listeners() {
    std::vector<model::ListenerRow> wanted;
    for (const auto& [id, service] : world_.services) {
        if (is_public(service)) {
            const model::ListenerRow want{0, id, kPublic, parse_ip(service.spec.at_public->bind),
                                          service.spec.at_public->port};
            if (services_at(want).front() == &service) wanted.push_back(want);
        }
        // A release that still runs goes on calling whom its successor does not know any more.
        std::set<std::string> calls;
        for (const model::ServiceSpec* const spec : specs_in_use(world_, service))
            calls.insert(spec->calls.begin(), spec->calls.end());
        for (const std::string& name : calls) {
            if (const Service* const callee = find_known(world_, name); callee != nullptr)
                wanted.push_back({0, callee->row.id, id, 0x7f000001, 0});
        }
    }
    for (const auto& [id, row] : world_.listeners)
        world_.listener_last = std::max(world_.listener_last, id);
    pass_ports_on(wanted);
    for (auto at = world_.listeners.begin(); at != world_.listeners.end();) {
        const bool stays = is_among(wanted, at->second) && !is_doubled(at->second);
        if (!stays) {
            keeper_->drop_listener(at->first);
            put(RemoveListener{at->first});
            world_.listener_errors.erase(at->first);
            snapshot_is_stale_ = true;
        }
        at = stays ? std::next(at) : world_.listeners.erase(at);
    }
    for (model::ListenerRow& want : wanted) {
        const bool is_there =
            std::any_of(world_.listeners.begin(), world_.listeners.end(),
                        [&](const auto& have) { return is_same(have.second, want); });
        if (is_there) continue;
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
    for (const auto& [id, error] : world_.listener_errors) {
        for (const Service* const service : services_at(world_.listeners[id]))
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
        for (Service* const service : services_at(row)) service->port_trouble = trouble;
        if (is_new)
            say({.kind = "port refused",
                 .service = world_.services[row.service].row.name,
                 .text = trouble});
        // A port for calls was ours before the machine's last start; somebody else has it now.
        if (row.caller != kPublic) row.port = 0;
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
void Control::name_routes(const model::ListenerRow& row, wire::SnapshotListener& listener) {
    for (const Service* const service : services_at(row)) {
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
    for (const auto& [id, service] : world_.services) {
        // One that was removed is there as long as it is called, or calls.
        const bool has_calls = std::any_of(world_.listeners.begin(), world_.listeners.end(),
                                           [&, service_id = id](const auto& each) {
                                               return each.second.service == service_id ||
                                                      each.second.caller == service_id;
                                           });
        if (!service.row.is_removed || has_calls)
            snapshot.services.push_back(service_in_snapshot(id, service));
    }
    for (const auto& [id, row] : world_.listeners) {
        if (row.port == 0 || world_.listener_errors.contains(id)) continue;
        const bool is_public = row.caller == kPublic;
        wire::SnapshotListener listener;
        listener.id = id;
        listener.kind = is_public ? wire::ListenerKind::Public : wire::ListenerKind::Call;
        listener.service = row.service;
        listener.caller = row.caller;
        if (is_public) {
            name_routes(row, listener);
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
    if (std::exchange(snapshot_refused_, std::string(applied.reason)) != applied.reason)
        say({.kind = "snapshot refused", .text = snapshot_refused_});
    activate_again_ =
        env_.timers.after(std::chrono::seconds(1), [this] { edge_->activate(snapshot_written_); });
}

void Control::on_edge(const wire::Welcome& welcome) {
    const bool is_another = welcome.pid != world_.edge.pid && world_.edge.pid != 0;
    world_.edge = welcome;
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
