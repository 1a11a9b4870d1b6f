#include "keeper.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

#include "wire/frame.h"

namespace thole::simulation {
namespace {

using namespace std::chrono_literals;
using wire::KeeperMessage;
using wire::SlotStatus;

constexpr std::int32_t kKilled = 9;
constexpr std::int32_t kSigterm = 15;

std::int32_t spawn_failed(wire::SpawnStep step, int error) {
    return static_cast<std::int32_t>(step) << 16 | error;
}

}  // namespace

SimKeeper::SimKeeper(sim::SimHost& host, Story& story, KeeperSettings settings)
    : host_(host), story_(story), settings_(std::move(settings)) {}

// A child that has not claimed its slot loses it to the new keeper.
void SimKeeper::begin() {
    process_ = &host_.process("keeper");
    ++keepers_;
    story_.tell("keeper begins");
    for (auto& [number, slot] : slots_) {
        slot.was_looked_at = false;
        if (slot.status != SlotStatus::Starting) continue;
        slot.status = SlotStatus::Ended;
        slot.flags = wire::kSpawnFailed;
        slot.wait_status = spawn_failed(wire::SpawnStep::Claim, ECANCELED);
    }
    auto listening = process_->network().listen_link(
        settings_.run + "/keeper.sock",
        [this](std::unique_ptr<env::Link> link) { accept(std::move(link)); });
    CHECK(listening.ok());
    listening_ = std::move(*listening);
}

void SimKeeper::kill() {
    if (!is_alive()) return;
    story_.tell("keeper is killed");
    process_->kill();
    changed_.clear();
    clients_.clear();
    listening_.reset();
}

// Nothing of it outlives a boot.
void SimKeeper::forget_all() {
    kill();
    for (auto& [number, slot] : slots_) {
        if (slot.instance == nullptr) continue;
        slot.instance->abandon();
        buried_.push_back(std::move(slot.instance));
    }
    slots_.clear();
    listeners_.clear();
    roles_.clear();
    keepers_ = 0;
    ports_are_taken_ = false;
}

std::string SimKeeper::name_of(std::uint32_t number) const {
    const Slot& slot = slots_.at(number);
    const std::string service =
        slot.instance == nullptr ? std::string("?") : slot.instance->program().service;
    return fmt::format("{}-{}.{}", service, number, slot.generation);
}

void SimKeeper::accept(std::unique_ptr<env::Link> link) {
    clients_.push_back(std::make_unique<Client>());
    Client* const client = clients_.back().get();
    client->link = std::move(link);
    client->link->set_events(
        {.received = [this, client](std::string_view datagram) { obey(*client, datagram); },
         .closed = [client](const Error&) { client->is_closed = true; }});
}

void SimKeeper::obey(Client& client, std::string_view datagram) {
    const std::optional<wire::Frame> frame = wire::open_frame(datagram);
    if (!frame) return story_.fail("keeper was sent something that is no frame");
    const auto type = static_cast<KeeperMessage>(frame->type);
    if (type == KeeperMessage::Hello) return greet(client);
    const char* refused = "keeper does not know this request";
    wire::SlotRef at{};
    if (const auto request = wire::read_message<wire::EnsureListenerRequest>(frame->body);
        request && type == KeeperMessage::EnsureListener)
        return ensure_listener(client, *request);
    if (const auto request = wire::read_message<wire::DropListenerRequest>(frame->body);
        request && type == KeeperMessage::DropListener) {
        listeners_.erase(request->id);
        return;
    }
    if (type == KeeperMessage::Shutdown) return settings_.shut_down();
    if (const auto request = wire::read_message<wire::SignalRequest>(frame->body);
        request && type == KeeperMessage::Signal) {
        at = request->at;
        refused = signal(*request);
    } else if (const auto slot = wire::read_message<wire::SlotRef>(frame->body)) {
        at = *slot;
        refused = type == KeeperMessage::Spawn ? spawn(at) : forget(at);
    }
    if (refused == nullptr) return;
    story_.tell(fmt::format("keeper refuses {}.{}: {}", at.slot, at.generation, refused));
    wire::RefusedEvent event{};
    event.request = frame->type;
    event.at = at;
    std::strncpy(event.reason, refused, sizeof(event.reason) - 1);
    client.link->send(wire::seal_message(KeeperMessage::Refused, event));
}

void SimKeeper::greet(Client& client) {
    std::uint32_t told = 0;
    for (const auto& [number, slot] : slots_) {
        if (slot.status == SlotStatus::Free) continue;
        client.link->send(wire::seal_message(KeeperMessage::State, state_of(number)));
        ++told;
    }
    for (const auto& [id, state] : listeners_)
        client.link->send(wire::seal_message(KeeperMessage::ListenerReady, state));
    for (const auto& [role, state] : roles_)
        client.link->send(wire::seal_message(KeeperMessage::RoleChanged, state));
    wire::SyncedEvent synced{};
    synced.slots = told;
    synced.listeners = static_cast<std::uint32_t>(listeners_.size());
    synced.keepers = keepers_;
    synced.has_cgroups = 1;
    synced.pid = process_->pid();
    client.link->send(wire::seal_message(KeeperMessage::Synced, synced));
    client.is_greeted = true;
}

const char* SimKeeper::spawn(wire::SlotRef at) {
    if (at.slot < wire::kRoleSlots || at.slot >= wire::kSlotsMax) return "there is no such slot";
    Slot& slot = slots_[at.slot];
    if (slot.generation == at.generation) {
        tell_slot(at.slot);
        return nullptr;
    }
    if (at.generation < slot.generation) return "this generation is over";
    if (slot.status != SlotStatus::Free) return "the slot is taken";
    const std::string path = fmt::format("{}/images/{}.{}", settings_.run, at.slot, at.generation);
    const Result<std::string> image = process_->env().files.read(path, 1024 * 1024);
    const Program program = read_program(image ? std::string_view(*image) : std::string_view());
    if (program.service.empty()) return "its image is missing or damaged";
    slot = Slot{};
    slot.generation = at.generation;
    slot.status = SlotStatus::Starting;
    const bool is_slow = host_.loop().random().chance(0.1);
    host_.loop().schedule(host_.loop().draw({100us, is_slow ? Duration(500ms) : Duration(10ms)}),
                          {"claim", nullptr, [this, at, program] { claim(at, program); }});
    return nullptr;
}

// By the child itself, whether its keeper lives or not.
void SimKeeper::claim(wire::SlotRef at, const Program& program) {
    Slot& slot = slots_[at.slot];
    if (slot.generation != at.generation || slot.status != SlotStatus::Starting) return;
    const std::string name = fmt::format("{}-{}.{}", program.service, at.slot, at.generation);
    slot.instance = std::make_unique<Instance>(
        host_, name, program,
        Instance::Events{
            .died = [this, at] { settings_.died(at.slot); },
            .ended = [this, at](std::int32_t wait_status) { on_end(at, wait_status); }});
    slot.status = SlotStatus::Running;
    slot.claimed = host_.loop().awake_now();
    slot.start_time = static_cast<std::uint64_t>(nanoseconds_of(host_.loop().now()) / 10'000'000);
    story_.tell(
        fmt::format("{} runs{}, v{}", name, program.is_build ? " (a build)" : "", program.release));
    tell_slot(at.slot);
    slot.instance->start();
}

const char* SimKeeper::signal(const wire::SignalRequest& request) {
    const auto found = slots_.find(request.at.slot);
    if (found == slots_.end() || found->second.generation != request.at.generation)
        return "this generation is not here";
    Slot& slot = found->second;
    if (slot.status != SlotStatus::Running) {
        if (request.scope != wire::SignalScope::All) return "it is not running";
        slot.was_looked_at = slot.status == SlotStatus::Ended;
        if (request.signal == kSigterm) ask_rest(request.at);
        tell_slot(request.at.slot);
        return nullptr;
    }
    story_.tell(fmt::format("signal {} to {}", request.signal, name_of(request.at.slot)));
    settings_.signalled(request.at.slot, request);
    if (!slot.was_asked) slot.asked = host_.loop().awake_now();
    slot.was_asked = true;
    slot.was_terminated = slot.was_terminated || request.signal == kSigterm;
    if (request.signal == kKilled) {
        slot.was_killed = true;
        slot.instance->end(kKilled);
    } else {
        slot.instance->ask_to_end();
    }
    return nullptr;
}

void SimKeeper::ask_rest(wire::SlotRef at) {
    Slot& slot = slots_[at.slot];
    if (!slot.has_rest || std::exchange(slot.rest_was_asked, true)) return;
    story_.tell(fmt::format("what is left of {}.{} is asked", at.slot, at.generation));
    if (at.generation % 2 == 0) return;
    host_.loop().schedule(50ms, {"rest", nullptr, [this, at] {
                                     Slot& still = slots_[at.slot];
                                     if (still.generation != at.generation) return;
                                     still.has_rest = false;
                                     tell_slot(at.slot);
                                 }});
}

const char* SimKeeper::forget(wire::SlotRef at) {
    const auto found = slots_.find(at.slot);
    if (found == slots_.end() || found->second.generation != at.generation)
        return "this generation is not here";
    if (found->second.status == SlotStatus::Free) return nullptr;
    if (found->second.status != SlotStatus::Ended) return "it has not ended";
    if (std::exchange(found->second.has_rest, false)) settings_.rest_killed(at.slot);
    found->second.status = SlotStatus::Free;
    static_cast<void>(process_->env().files.remove(
        fmt::format("{}/images/{}.{}", settings_.run, at.slot, at.generation)));
    tell_slot(at.slot);
    return nullptr;
}

void SimKeeper::ensure_listener(Client& client, const wire::EnsureListenerRequest& request) {
    constexpr std::uint16_t kFirstPort = 45000;
    const auto found = listeners_.find(request.id);
    const bool same = found != listeners_.end() && found->second.address == request.address &&
                      (request.port == 0 || found->second.port == request.port);
    if (!same && ports_are_taken_) {
        const wire::ListenerState state{request.id, request.address, request.port, 0, EADDRINUSE};
        client.link->send(wire::seal_message(KeeperMessage::ListenerFailed, state));
        return;
    }
    if (!same) {
        const auto drawn = static_cast<std::uint16_t>(kFirstPort + request.id);
        listeners_[request.id] = {request.id, request.address,
                                  request.port == 0 ? drawn : request.port, 0, 0};
    }
    broadcast(wire::seal_message(KeeperMessage::ListenerReady, listeners_[request.id]));
}

// Who can wait for it: its own keeper, or watch, or after their deaths nobody.
void SimKeeper::on_end(wire::SlotRef at, std::int32_t wait_status) {
    Slot& slot = slots_[at.slot];
    story_.tell(fmt::format("{} ended: {}{}", name_of(at.slot), wait_status,
                            slot.was_asked ? ", as asked" : ""));
    slot.status = SlotStatus::Ended;
    slot.ended = host_.loop().awake_now();
    const bool is_known = is_alive() || host_.loop().random().chance(0.5);
    slot.flags = is_known ? wire::kExitKnown : 0U;
    slot.wait_status = is_known ? wait_status : 0;
    // keeper's SIGKILL is for all of it, also where the first process had just ended by itself.
    slot.has_rest = wait_status != kKilled && !slot.was_killed &&
                    !slot.instance->program().is_build && at.generation % 3 == 0;
    ended_.push_back(std::move(slot.instance));
    tell_slot(at.slot);
}

wire::SlotState SimKeeper::state_of(std::uint32_t number) const {
    const Slot& slot = slots_.at(number);
    wire::SlotState state{};
    state.at = {number, slot.generation};
    state.status = slot.status;
    state.pid = slot.instance == nullptr ? 0 : slot.instance->pid();
    state.start_time = slot.start_time;
    state.wait_status = slot.wait_status;
    state.flags = slot.flags;
    if (slot.was_looked_at)
        state.remains = slot.has_rest ? wire::Remains::Some : wire::Remains::None;
    state.time = nanoseconds_of(host_.loop().now());
    return state;
}

// In the keeper's own next turn, as its newest whole state.
void SimKeeper::tell_slot(std::uint32_t slot) {
    if (!is_alive()) return;
    changed_.insert(slot);
    tell_soon_ = process_->env().timers.after(Duration::zero(), [this] {
        for (const std::uint32_t changed : std::exchange(changed_, {}))
            broadcast(wire::seal_message(KeeperMessage::State, state_of(changed)));
    });
}

void SimKeeper::tell_role(const wire::RoleState& state) {
    roles_[state.role] = state;
    if (is_alive()) broadcast(wire::seal_message(KeeperMessage::RoleChanged, state));
}

void SimKeeper::broadcast(const std::string& frame) {
    for (const std::unique_ptr<Client>& client : clients_) {
        if (client->is_greeted && !client->is_closed) client->link->send(frame);
    }
}

void SimKeeper::sweep() {
    ended_.clear();
    std::erase_if(clients_, [](const auto& client) { return client->is_closed; });
}

}  // namespace thole::simulation
