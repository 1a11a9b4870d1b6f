// The user of a world: starts a system, changes and scales it while it suffers, wants it whole once
// the faults are over, and ends it.
#include <fmt/format.h>

#include <algorithm>

#include "folders.h"
#include "model/defaults.h"
#include "world.h"

namespace thole::simulation {
namespace {

using namespace std::chrono_literals;

// What is promised: whole again so soon after the last fault; a start takes a while more.
constexpr Duration kConverges = 60s;
constexpr Duration kStartup = 15s;
constexpr Duration kLookEvery = 200ms;
constexpr Duration kBootTakes = 3s;  // Until somebody thinks of it again.

bool serves_well(std::string_view behaviour) {
    return behaviour.starts_with("good") || behaviour.starts_with("stubborn");
}

std::uint32_t waiting_for(SimEdge& edge, const Wanted& service) {
    std::uint32_t waiting = 0;
    for (const wire::SnapshotService& served : edge.snapshot().services) {
        if (service.listens && served.name == service.name)
            waiting += edge.requests().waiting(served.id);
    }
    return waiting;
}

}  // namespace

void World::plan_services() {
    const int scale = 2 + static_cast<int>(pick(3));
    services_ = {
        {.name = "web", .keys = "public: 8080", .calls = {"orders", "catalog"}, .scale = scale},
        {.name = "orders",
         .keys = "state: 1Mi, build: make",
         .calls = {"catalog"},
         .is_single = true,
         .has_build = true},
        {.name = "catalog", .keys = "", .scale = 2},
    };
    if (chance(0.4))
        services_.push_back(
            {.name = "legacy", .keys = "port: 7000, public: 8081", .is_single = true});
    if (chance(0.4))
        services_.push_back({.name = "worker", .keys = "port: none", .listens = false, .scale = 2});
    for (Wanted& service : services_) {
        service.has_user = has_users_ && service.listens;
        service.scale_most = service.scale_asked = service.scale_written = service.scale;
    }
    is_noisy_from_start_ = chance(0.3);
    draw_aims();
    ends_badly_ = !is_noisy_from_start_ && chance(0.3);
    begin_phase(Phase::Starting, kConverges + kStartup);
    for (Wanted& service : services_) edit(service, "good");
    if (is_noisy_from_start_) {
        begin_phase(Phase::Noise, host_.loop().draw({10s, 30s}));
        put_manifest();
    }
}

std::string World::manifest() const {
    std::string text = "name: world\nservices:\n";
    for (const Wanted& service : services_) {
        if (service.is_pruned) continue;
        text +=
            fmt::format("  {}: {{run: ./serve, stop: {{grace: 2s}}, health: {{startup: 4s}}{}{}",
                        service.name, service.keys.empty() ? "" : ", ", service.keys);
        if (service.has_user) text += fmt::format(", user: {}", kUser);
        if (const std::vector<std::string> calls = calls_of(service); !calls.empty())
            text += fmt::format(", calls: [{}]", fmt::join(calls, ", "));
        text += service.is_single ? "}\n" : fmt::format(", scale: {}}}\n", service.scale_written);
    }
    return text;
}

void World::begin_phase(Phase phase, Duration limit) {
    phase_ = phase;
    was_told_ = is_settled_ = false;
    deadline_ = host_.loop().world_now() + limit;
    next_act_ = {};
    has_faults_ = phase == Phase::Noise || (phase == Phase::Stopping && chance(0.5));
    steps_to_fault_ = 1 + pick(2000);
}

void World::advance() {
    const Time now = host_.loop().world_now();
    if (now > deadline_ && phase_ != Phase::Noise) {
        if (phase_ == Phase::Quiet) why_not_ = "it is not settled";
        why_not_ = why_not_.empty() ? system_ : why_not_ + "; " + system_;
        return story_.fail(fmt::format(
            "{} within {}: {}", phase_ == Phase::Stopping ? "it did not end" : "it is not whole",
            format_duration(kConverges + kStartup), why_not_));
    }
    if (!asked_.empty() || now < next_act_) return;
    next_act_ = now + kLookEvery;
    switch (phase_) {
        case Phase::Starting:
        case Phase::Calm:
            if (!was_told_) return put_manifest();
            if (ask_to_resume()) return;
            if (!is_settled_ || !is_as_wanted()) return ask("GET", "/system", "");
            if (phase_ == Phase::Calm) return ask("GET", "/timeline?limit=1000000", "");
            story_.tell("it is whole; now the noise");
            return begin_phase(Phase::Noise, host_.loop().draw({10s, 40s}));
        case Phase::Noise:
            if (now <= deadline_) return do_something();
            end_faults();
            story_.tell("the faults are over");
            return begin_phase(Phase::Quiet, kConverges + kStartup);
        case Phase::Quiet:
            // What was begun comes to its end, whether anybody asks again or not.
            if (!is_settled_) return ask("GET", "/system", "");
            for (Wanted& service : services_) {
                if (!serves_well(service.behaviour)) edit(service, "good");
            }
            if (ends_badly_) make_one_bad();
            return begin_phase(Phase::Calm, kConverges + kStartup);
        case Phase::Stopping:
            for (Wanted& service : services_) service.is_paused = false;
            if (!was_told_) ask("POST", "/down", "");
            return;
        case Phase::Over: return;
    }
}

// False where the disk does not take it: then nothing was changed.
bool World::edit(Wanted& service, std::string_view how) {
    env::Files& files = user_->env().files;
    const std::string folder = fmt::format("{}/{}", kSources, service.name);
    const std::string behaviour =
        fmt::format("{} {}{}", how, ++edits_, service.has_build ? kIsBuilt : "");
    Status written = files.make_folder(folder, 0755);
    if (written)
        written = files.replace(folder + "/behaviour", behaviour, env::Durability::None, 0644);
    if (!written) return false;
    service.behaviour = behaviour;
    service.has_crashed = service.has_crashed || how == "crashes";
    story_.tell(fmt::format("{} is to be {}", service.name, behaviour));
    return true;
}

// A service that has a good release to turn back to.
void World::make_one_bad() {
    Wanted& service = services_[pick(services_.size())];
    if (service.has_crashed) return;
    if (service.has_build && chance(0.5)) {
        edit(service, "unbuildable");
        return;
    }
    edit(service, chance(0.5) || !service.listens ? "exits" : "silent");
}

void World::do_something() {
    constexpr std::string_view kBehaviours[] = {"good",  "good",   "good",    "stubborn",
                                                "exits", "silent", "crashes", "unbuildable"};
    next_act_ = host_.loop().world_now() + host_.loop().draw({100ms, 5s});
    Wanted& service = services_[pick(services_.size())];
    if (prunes_ && !ends_badly_ && chance(0.2)) return prune_or_bring_back(service);
    if (service.is_pruned) return;
    switch (pick(pauses_ ? 8 : 6)) {
        case 0:
        case 1:
        case 2:
            // One that listens nowhere is ready when it has lived for a while.
            if (!edit(service,
                      service.listens
                          ? kBehaviours[pick(std::size(kBehaviours) - (service.has_build ? 0 : 1))]
                          : "good"))
                return;
            if (Wanted& another = services_[pick(services_.size())]; chance(0.3))
                edit(another, "good");
            return put_manifest();
        case 3: return ask("POST", "/services/" + service.name + "/restart", "");
        case 4: {
            if (service.is_single || service.is_changed) return;
            const int scale = 1 + static_cast<int>(pick(4));
            service.scale_most = std::max(service.scale_most, scale);
            service.scale_asked = scale;
            return ask("POST", "/services/" + service.name + "/scale",
                       fmt::format("{{\"instances\":{}}}", scale));
        }
        case 6: return pause_or_resume(service, true);
        case 7: return pause_or_resume(service, false);
        default:
            if (changes_keys_ && !ends_badly_) change_keys();
            return;
    }
}

void World::pause_or_resume(Wanted& service, bool is_wanted) {
    if (!service.listens) return;
    const bool ends = is_wanted && chance(0.3);
    service.is_paused = false;
    service.is_pause_asked = is_wanted && !ends;
    service.is_resume_asked = !is_wanted;
    service.may_be_paused = service.may_be_paused || is_wanted;
    JsonWriter json;
    json.begin_object().member("paused", is_wanted);
    if (ends) json.member("for_ms", std::int64_t{1 + static_cast<std::int64_t>(pick(10'000))});
    ask("PUT", "/services/" + service.name + "/paused", json.end_object().take());
}

// Once the faults are over everybody is to be served again. False where nobody is paused.
bool World::ask_to_resume() {
    for (Wanted& service : services_) {
        if (!service.may_be_paused || service.is_pruned) continue;
        pause_or_resume(service, false);
        return true;
    }
    return false;
}

// Whom it calls, or whether it keeps state: what runs meanwhile was started under other keys.
void World::change_keys() {
    Wanted& web = *find("web");
    Wanted& catalog = *find("catalog");
    if (chance(0.5)) {
        const bool calls_it = web.calls.size() > 1;
        web.calls = calls_it ? std::vector<std::string>{"orders"}
                             : std::vector<std::string>{"orders", "catalog"};
    } else {
        catalog.is_single = !catalog.is_single;
        catalog.keys = catalog.is_single ? "state: 1Mi" : "";
        catalog.scale = catalog.scale_asked = catalog.is_single ? 1 : catalog.scale_written;
        catalog.is_changed = true;
        catalog.is_complete = false;
    }
    story_.tell(fmt::format("web is to call {}, catalog to be {{{}}}", fmt::join(web.calls, ", "),
                            catalog.keys));
    put_manifest();
}

// One that comes back has its name and its state again, and is another release.
void World::prune_or_bring_back(Wanted& service) {
    const auto is_in = [](const Wanted& each) { return !each.is_pruned; };
    if (is_in(service) && std::count_if(services_.begin(), services_.end(), is_in) == 1) return;
    service.is_pruned = !service.is_pruned;
    service.is_out = true;
    service.is_complete = service.is_paused = false;
    story_.tell(
        fmt::format("{} is {}", service.name, service.is_pruned ? "to be pruned" : "to come back"));
    if (!service.is_pruned) {
        // With what its manifest says, whatever `thole scale` said before.
        if (!service.is_single) service.scale = service.scale_asked = service.scale_written;
        if (chance(0.5)) edit(service, "good");
    }
    put_manifest();
}

// Those of them that there are.
std::vector<std::string> World::calls_of(const Wanted& service) const {
    std::vector<std::string> calls;
    for (const Wanted& called : services_) {
        const auto found = std::find(service.calls.begin(), service.calls.end(), called.name);
        if (found != service.calls.end() && !called.is_pruned) calls.push_back(called.name);
    }
    return calls;
}

void World::put_manifest() {
    JsonWriter json;
    json.begin_object()
        .member("folder", kSources)
        .member("text", manifest())
        .key("files")
        .begin_array();
    for (const Wanted& service : services_) json.value(service.name + "/behaviour");
    json.end_array();
    if (prunes_) json.member("prune", true);
    ask("PUT", "/manifest", json.end_object().take());
}

// What the user waited for is asked for again; but for what would count twice.
void World::ask_after_boot() {
    exchange_.reset();
    if (asked_.empty()) return;
    if (asked_.ends_with("/restart") || asked_.starts_with("/system")) {
        asked_.clear();
        return;
    }
    again_ = user_->env().timers.after(kBootTakes, ask_again_);
}

void World::ask(const std::string& method, const std::string& path, const std::string& body) {
    asked_ = path;
    ask_again_ = [this, method, path, body] { ask(method, path, body); };
    if (method != "GET") story_.tell("the user: " + method + " " + path);
    web::Request request;
    request.method = method;
    request.target = "/api/v1" + path;
    request.body = body;
    web::ExchangeOptions options;
    options.events.done = [this](const Result<web::Response>& answer) { heard(answer); };
    exchange_ = web::start_exchange(
        user_->env(), user_->env().network.connect_unix(std::string(kRun) + "/api.sock"), request,
        std::move(options));
}

// Asked again until there is an answer; but for a restart, which would count twice.
void World::heard(const Result<web::Response>& answer) {
    const std::string path = std::exchange(asked_, {});
    // 409: what it asked for itself before, and waited for in vain, is still under way.
    constexpr int kAgain[] = {409, 429, 500, 503};
    const bool is_answer = answer && std::find(std::begin(kAgain), std::end(kAgain),
                                               answer->status) == std::end(kAgain);
    // A manifest may be refused as long as its user cannot be looked up.
    const bool is_unknown = has_users_ && answer && answer->status == 404 && path == "/manifest";
    if (!is_answer || is_unknown) {
        if (path.ends_with("/restart") || path.starts_with("/system")) return;
        asked_ = path;
        again_ = user_->env().timers.after(100ms, ask_again_);
        return;
    }
    if (answer->status == 404 && phase_ == Phase::Noise && is_noisy_from_start_) return;
    if (answer->status != 200)
        return story_.fail(fmt::format("the user was refused: {}: {}", path, answer->body));
    if (path == "/system") return look_at_system(answer->body);
    if (path.starts_with("/timeline")) return look_at_timeline(answer->body);
    if (path == "/manifest" || path == "/down") was_told_ = true;
    if (path == "/manifest") ++acknowledged_["manifest applied"];
    if (path.ends_with("/restart")) ++acknowledged_["restart asked"];
    if (path.ends_with("/scale")) ++acknowledged_["scale asked"];
    for (Wanted& service : services_) {
        if (path == "/manifest" && service.is_out && !service.is_pruned) {
            service.is_out = false;
            service.shaken_until = host_.loop().world_now() + kShaken;
        }
        if (path == "/services/" + service.name + "/restart") ++service.restarts;
        if (path == "/services/" + service.name + "/paused") {
            service.is_paused = service.is_pause_asked;
            service.may_be_paused = service.is_paused || !service.is_resume_asked;
        }
        if (path != "/services/" + service.name + "/scale") continue;
        service.scale = service.scale_asked;
        service.is_complete = false;
        service.shaken_until = host_.loop().world_now() + kShaken;
    }
}

void World::look_at_system(const std::string& body) {
    system_ = body;
    const Result<Json> system = parse_json(body);
    const Json* const settled = system ? system->find("settled") : nullptr;
    if (settled == nullptr || settled->boolean() == nullptr)
        return story_.fail("no system: " + body);
    is_settled_ = *settled->boolean();
}

// No row is missing: what control said is what it remembers. An end is told once.
void World::look_at_timeline(const std::string& body) {
    const Result<Json> timeline = parse_json(body);
    const Json* const entries = timeline ? timeline->find("entries") : nullptr;
    if (entries == nullptr || entries->array() == nullptr)
        return story_.fail("no timeline: " + body);
    std::int64_t last = 0;
    std::map<std::string, int> missing = acknowledged_;
    std::set<std::string> ended;
    for (const Json& entry : *entries->array()) {
        const Result<std::int64_t> sequence = entry.integer_at("sequence");
        if (!sequence || *sequence != last + 1)
            return story_.fail(fmt::format("the timeline has a gap after {}", last));
        last = *sequence;
        const std::string kind = entry.text_at("kind").value_or("");
        const std::string instance = entry.text_at("instance").value_or("");
        --missing[kind];
        // None of them takes longer than a second.
        const std::string text = entry.text_at("text").value_or("");
        if (text.find("not done after") != std::string::npos)
            return story_.fail("a build was ended: " + text);
        const bool is_end = kind == "instance ended" || kind == "instance lost";
        if (is_end && !ended.insert(instance).second)
            return story_.fail(fmt::format("the end of {} is told twice", instance));
    }
    for (const auto& [kind, count] : missing) {
        if (count > 0) return story_.fail(fmt::format("{} entries '{}' are missing", count, kind));
    }
    story_.tell(fmt::format("it is whole, with {} rows on its timeline; down", last));
    begin_phase(Phase::Stopping, kConverges + kStartup);
}

// A release that was refused or taken back says why.
void World::look_for_reason(const Wanted& service) {
    const Result<Json> system = parse_json(system_);
    const Json* const services = system ? system->find("services") : nullptr;
    if (services == nullptr || services->array() == nullptr) return;
    for (const Json& said : *services->array()) {
        if (said.text_at("name").value_or("") != service.name) continue;
        const Json* const deploy = said.find("deploy");
        const bool has_status = deploy != nullptr && deploy->text_at("status").ok();
        const std::string status = has_status ? deploy->text_at("status").value() : "none";
        const bool has_ended = status == "reversed" || status == "broken";
        if (!has_ended || deploy->text_at("reason").value_or("").empty())
            why_not_ += fmt::format("the deploy of {} is {}; ", service.name, status);
    }
}

// On the disk is what serves and what one may go back to; nothing of what came to nothing.
void World::look_for_copies(const Wanted& service) {
    env::Files& files = user_->env().files;
    const std::string folder = fmt::format("{}/releases/{}", kData, service.name);
    const auto copies = files.list(folder);
    for (const env::FileInfo& copy : copies ? *copies : std::vector<env::FileInfo>{}) {
        const auto what = files.read(folder + "/" + copy.name + "/behaviour", 1024);
        const bool is_bad = !serves_well(service.behaviour) && what && *what == service.behaviour;
        if (is_bad) why_not_ += fmt::format("{} of {} is still there; ", copy.name, service.name);
    }
    if (copies && copies->size() > model::kReleasesKept + 1)
        why_not_ += fmt::format("{} copies of {} are left; ", copies->size(), service.name);
}

// All that the user wants runs and has its requests; where the last release is a bad one, an
// earlier one does.
bool World::is_as_wanted() {
    why_not_.clear();
    std::size_t there = 0;
    for (Wanted& service : services_) {
        int whole = 0;
        int all = 0;
        for (const auto& [number, slot] : keeper_.slots()) {
            if (slot.instance == nullptr || service_of(number) != &service) continue;
            ++all;
            const std::string& behaviour = slot.instance->program().behaviour;
            const bool is_right = serves_well(service.behaviour) ? behaviour == service.behaviour
                                                                 : serves_well(behaviour);
            const bool is_new = slot.instance->program().restart >= service.restarts;
            const bool serves = !service.listens || edge_->serves({number, slot.generation});
            whole += is_right && is_new && serves && slot.instance->is_listening() ? 1 : 0;
        }
        const int wanted = service.is_pruned ? 0 : service.scale;
        if (whole != wanted || all != whole)
            why_not_ += fmt::format("{} ({}): {} of {} as wanted, {} in all; ", service.name,
                                    service.behaviour, whole, wanted, all);
        if (!serves_well(service.behaviour)) look_for_reason(service);
        look_for_copies(service);
        // Where everything serves nobody waits for long.
        if (const std::uint32_t waiting = pauses_ ? waiting_for(*edge_, service) : 0; waiting > 0)
            why_not_ += fmt::format("{} requests to {} wait; ", waiting, service.name);
        if (whole == wanted && all == whole) service.is_changed = false;
        there += service.is_pruned ? 0U : 1U;
    }
    if (edge_->snapshot().services.size() != there) why_not_ += "the edge's snapshot is old; ";
    for (const wire::SnapshotService& served : edge_->snapshot().services) {
        const wire::SnapshotLimits& limits = served.limits;
        if (limits.connect != model::kConnectLimit || limits.hold != model::kHoldLimit ||
            limits.response_head != model::kResponseHeadLimit || limits.idle != model::kIdleLimit ||
            limits.tunnel != model::kTunnelLimit ||
            limits.held_requests_max != model::kHeldRequestsMax ||
            limits.held_bytes_max != model::kHeldBytesMax ||
            limits.in_flight_max != model::kInFlightMax || limits.queued_max != model::kQueuedMax)
            why_not_ += "the edge has other limits than the documented ones; ";
    }
    for (const wire::SnapshotListener& each : edge_->snapshot().listeners) {
        if (has_users_ && each.kind == wire::ListenerKind::Call && each.check_caller == 0)
            why_not_ += fmt::format("anybody may call at listener {}; ", each.id);
    }
    is_settled_ = false;  // To be asked again.
    return why_not_.empty();
}

}  // namespace thole::simulation
