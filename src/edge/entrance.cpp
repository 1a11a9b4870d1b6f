#include "edge/entrance.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "edge/intake.h"
#include "edge/worker.h"

namespace thole::edge {
namespace {

constexpr int kTriesMax = 8;

Priority priority_in(const Exchange& exchange) {
    return (exchange.flags & kLowPriority) != 0 ? Priority::Low : Priority::Normal;
}

}  // namespace

Entrance::Entrance(Worker& worker) : worker_(worker), lines_(kServicesMax) {
    waited_.reserve(kServicesMax);
}

Load Entrance::load_of(std::uint32_t place) const {
    const ServiceEntry& limits = worker_.segment_.services[place];
    const std::uint32_t most = limits.in_flight_max;
    return worker_.runtime_.places[place].load(
        most != 0 ? most : std::numeric_limits<std::uint32_t>::max(), limits.queued_max,
        worker_.now_ns_);
}

// Its service went with the routes by which it was found, and nobody has it yet: it goes by those
// of today.
ServiceAt Entrance::route_anew(std::uint32_t fd) {
    const ExchangeAt at = worker_.runtime_.exchange(fd);
    const Exchange& now = current(at);
    const ListenerRoutes& of = worker_.routes_->of[at.record.listener_place];
    if (now.attempts != 0 || worker_.listener_of(at.record) == nullptr ||
        of.listener != at.record.listener)
        return {};
    static thread_local http::RequestHead head;
    const http::HeadResult read =
        http::parse_request_head(request_head_of(worker_.segment_, now), head);
    if (read.state != http::HeadState::Done) return {};
    const RoutingResult routed = route_head(*worker_.routes_, at.record.listener_place, head);
    if (routed.routing != Routing::Found) return {};
    go_to(fd, routed.to);
    return worker_.server_of(at.record);
}

// Its port may be another service's now: what it has, or waits for, is of the one before.
void Entrance::go_to(std::uint32_t fd, const ServiceAt& service) {
    const ExchangeAt at = worker_.runtime_.exchange(fd);
    const ServiceAt before = current(at).service;
    if (before.id == service.id && before.place == service.place) return;
    leave(fd);
    worker_.unhold(fd);
    commit(at, [&](Exchange& next) {
        next.service = service;
        next.point = kNoPoint;
    });
}

bool Entrance::keeps(std::uint32_t fd) {
    const ExchangeAt at = worker_.runtime_.exchange(fd);
    if (const std::int64_t due_ns = current(at).due_ns; due_ns > worker_.now_ns_) {
        worker_.alarms_.set(fd, worker_.runtime_.socket(fd).alarm_ns, due_ns);
        return true;
    }
    ServiceAt service = worker_.server_of(at.record);
    if (service.place == kNone) {
        leave(fd);
        service = route_anew(fd);
        if (service.place == kNone) return false;  // Nobody is there to be spared.
    }
    go_to(fd, service);
    Socket& client = worker_.runtime_.socket(fd);
    if (client.has_place) return false;
    if (client.is_queued) return true;
    return !enters(fd, service.place);
}

// True where it has a place now. Another worker may be quicker at what the load has just shown.
bool Entrance::enters(std::uint32_t fd, std::uint32_t place) {
    const Priority priority = priority_in(worker_.exchange(fd));
    Socket& client = worker_.runtime_.socket(fd);
    for (int tries = 0; tries < kTriesMax; ++tries) {
        const Load load = load_of(place);
        const Entry entry = admit(load, priority);
        if (entry == Entry::Admit) {
            if (!worker_.runtime_.places[place].take(places_for(load, priority))) continue;
            client.has_place = true;
            client.service = place;
            return true;
        }
        // Who waited for an instance was promised to be let in.
        const bool may_join = client.is_held || makes_room(place, entry, load.waiting_low);
        if (entry == Entry::Refuse && !may_join) break;
        if (queue(fd, place, may_join ? Join::Anyway : Join::IfThereIsRoom)) return false;
    }
    if (!client.is_held || !queue(fd, place, Join::Anyway)) refuse(fd, Wait::Full);
    return false;
}

// Of a full line one goes for one that comes. True where that is another worker's to refuse, which
// does so in a moment.
bool Entrance::makes_room(std::uint32_t place, Entry entry, std::uint32_t low) {
    if (entry != Entry::QueueForOldestLow && entry != Entry::QueueForOldestNormal) return false;
    const bool is_low = entry == Entry::QueueForOldestLow;
    const std::uint32_t oldest = lines_[place].of[is_low ? 1 : 0].oldest;
    if (oldest != kNone) {
        if (!worker_.runtime_.socket(oldest).is_held) refuse(oldest, Wait::Full);
        return false;
    }
    if (!is_low || !worker_.runtime_.places[place].ask_to_drop(low)) return false;
    for (std::uint32_t number = 0; number < kWorkers; ++number) call_worker(number);
    return true;
}

// False where as many wait already as may.
bool Entrance::queue(std::uint32_t fd, std::uint32_t place, Join how) {
    Socket& client = worker_.runtime_.socket(fd);
    Places& places = worker_.runtime_.places[place];
    if (how == Join::Anyway) {
        places.join_anyway();
    } else if (!places.join(worker_.segment_.services[place].queued_max)) {
        return false;
    }
    if (places.waiting() == 1) places.forget_drops();
    Lines& lines = lines_[place];
    if (!std::exchange(lines.is_listed, true)) waited_.push_back(place);
    client.is_queued = true;
    client.is_low = priority_in(worker_.exchange(fd)) == Priority::Low;
    Line& line = lines.of[client.is_low ? 1 : 0];
    client.service = place;
    client.queued_ns = worker_.now_ns_;
    client.older = std::exchange(line.newest, fd);
    client.newer = kNone;
    (client.older == kNone ? line.oldest : worker_.runtime_.socket(client.older).newer) = fd;
    ++line.count;
    tell(place);
    const ExchangeAt at = worker_.runtime_.exchange(fd);
    if ((current(at).flags & kHeld) == 0) {
        worker_.counting_.held();
        commit(at, [](Exchange& next) { next.flags |= kHeld; });
    }
    serve(place);  // One may have been given back before we were seen to wait.
    return true;
}

// Too much is asked of its service, which is told in words and with a time to come again.
void Entrance::refuse(std::uint32_t fd, Wait wait) {
    const std::uint32_t place = worker_.server_of(worker_.runtime_.record(fd)).place;
    const bool is_low = (worker_.exchange(fd).flags & kLowPriority) != 0;
    Answer own = is_low ? kNoPlaceLow : wait == Wait::TooLong ? kNoPlaceInTime : kNoPlace;
    if (place != kNone) {
        const std::int64_t usual_us = worker_.traffic_of(place).usual.half().half_ns / 1000;
        own.retry_after_s = retry_after_seconds(
            load_of(place), static_cast<std::uint32_t>(std::min<std::int64_t>(usual_us, 4e9)),
            worker_.random_);
    }
    worker_.answer(fd, own);
    worker_.again_.push_back(fd);
}

void Entrance::take_out(std::uint32_t fd) {
    Socket& client = worker_.runtime_.socket(fd);
    Line& line = lines_[client.service].of[client.is_low ? 1 : 0];
    (client.older == kNone ? line.oldest : worker_.runtime_.socket(client.older).newer) =
        client.newer;
    (client.newer == kNone ? line.newest : worker_.runtime_.socket(client.newer).older) =
        client.older;
    --line.count;
    client.is_queued = false;
    worker_.runtime_.places[client.service].leave();
    tell(client.service);
}

// Whoever gives a place back, at any worker, goes by this.
void Entrance::tell(std::uint32_t place) {
    const Lines& lines = lines_[place];
    std::int64_t since_ns = 0;
    for (const Line& line : lines.of) {
        if (line.oldest == kNone) continue;
        const std::int64_t its_ns = worker_.runtime_.socket(line.oldest).queued_ns;
        since_ns = since_ns == 0 ? its_ns : std::min(since_ns, its_ns);
    }
    worker_.runtime_.places[place].tell(worker_.number_, lines.of[0].count, lines.of[1].count,
                                        since_ns);
}

// Gives the places that are free to those whose turn it is.
void Entrance::serve(std::uint32_t place) {
    Places& places = worker_.runtime_.places[place];
    while (true) {
        const Load load = load_of(place);
        const Next turn = next(load);
        if (turn == Next::Nobody) return;
        const bool is_low = turn == Next::OldestLow || turn == Next::NewestLow;
        const bool is_oldest = turn == Next::OldestNormal || turn == Next::OldestLow;
        const Line& line = lines_[place].of[is_low ? 1 : 0];
        const std::uint32_t fd = is_oldest ? line.oldest : line.newest;
        if (fd == kNone) return call(place);  // Another worker's turn.
        if (!places.take(places_for(load, is_low ? Priority::Low : Priority::Normal))) return;
        take_out(fd);
        worker_.runtime_.socket(fd).has_place = true;
        worker_.again_.push_back(fd);
    }
}

// A place is free and somebody waits: of the workers each in its turn, those first who have normal
// ones.
void Entrance::call(std::uint32_t place) {
    Places& places = worker_.runtime_.places[place];
    const std::uint32_t first = places.next_turn();
    for (const Priority priority : {Priority::Normal, Priority::Low}) {
        for (std::uint32_t i = 0; i < kWorkers; ++i) {
            const std::uint32_t number = (first + i) % kWorkers;
            if (places.waiting(number, priority) == 0) continue;
            if (number == worker_.number_) return serve(place);
            return call_worker(number);
        }
    }
}

void Entrance::call_worker(std::uint32_t number) {
    Runtime& runtime = worker_.runtime_;
    if (!runtime.is_called[number].exchange(true)) runtime.workers[number]->wake();
}

void Entrance::carry(std::uint32_t fd, std::uint32_t upstream) {
    Socket& client = worker_.runtime_.socket(fd);
    worker_.runtime_.socket(upstream).has_place = std::exchange(client.has_place, false);
    end_pause(client);
}

void Entrance::adopt(std::uint32_t fd, std::uint32_t upstream) {
    const Exchange& now = worker_.exchange(fd);
    if (lasts(now) || now.service.place >= kServicesMax) return;
    worker_.runtime_.places[now.service.place].take_anyway();
    worker_.runtime_.socket(upstream).has_place = true;
}

void Entrance::keep(std::uint32_t fd, std::uint32_t upstream) {
    Socket& client = worker_.runtime_.socket(fd);
    Socket& before = worker_.runtime_.socket(upstream);
    client.has_place = std::exchange(before.has_place, false);
    client.service = before.service;
    const Exchange& now = worker_.exchange(fd);
    if (now.due_ns == 0) return;
    ServiceTraffic& traffic = worker_.traffic_of(client.service);
    client.is_pausing = true;
    ++traffic.in_flight;
    ++traffic.retries;
}

void Entrance::end_pause(Socket& client) {
    if (!std::exchange(client.is_pausing, false)) return;
    ServiceTraffic& traffic = worker_.traffic_of(client.service);
    if (traffic.in_flight > 0) --traffic.in_flight;
    if (traffic.retries > 0) --traffic.retries;
}

void Entrance::give_back(Socket& owner) {
    if (!std::exchange(owner.has_place, false)) return;
    Places& places = worker_.runtime_.places[owner.service];
    places.give_back();
    if (places.waiting() != 0) call(owner.service);
}

void Entrance::leave(std::uint32_t fd) {
    Socket& client = worker_.runtime_.socket(fd);
    if (client.is_queued) take_out(fd);
    end_pause(client);
    give_back(client);
}

void Entrance::look_at(std::uint32_t fd) {
    const Socket& client = worker_.runtime_.socket(fd);
    if (client.is_queued && !client.is_held &&
        has_waited_too_long(worker_.now_ns_ - client.queued_ns))
        refuse(fd, Wait::TooLong);
}

void Entrance::serve_all() {
    worker_.runtime_.is_called[worker_.number_].store(false);
    for (const std::uint32_t place : waited_) {
        Places& places = worker_.runtime_.places[place];
        while (lines_[place].of[1].oldest != kNone && places.takes_drop())
            refuse(lines_[place].of[1].oldest, Wait::Full);
        serve(place);
    }
    std::erase_if(waited_, [this](std::uint32_t place) {
        Lines& lines = lines_[place];
        lines.is_listed = lines.of[0].count + lines.of[1].count > 0;
        return !lines.is_listed;
    });
}

void Entrance::look_at_all() {
    for (const std::uint32_t place : waited_) {
        for (const Line& line : lines_[place].of) {
            for (std::uint32_t fd = line.oldest; fd != kNone;
                 fd = worker_.runtime_.socket(fd).newer)
                worker_.again_.push_back(fd);
        }
    }
}

}  // namespace thole::edge
