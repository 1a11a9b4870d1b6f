// The edge's main thread: listens for control, applies what it says to the segment, waits until
// every worker has applied it, and only then acknowledges. One control at a time; a new one takes
// the old one's place. It ticks for keeper as long as every worker turns.
#pragma once

#include <deque>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "edge/access_log.h"
#include "edge/adopt.h"
#include "edge/disk_thread.h"
#include "edge/hand_over.h"
#include "edge/holder.h"
#include "edge/inherit.h"
#include "edge/judging.h"
#include "edge/keeper_link.h"
#include "edge/refusal_reports.h"
#include "edge/reports.h"
#include "edge/route_reports.h"
#include "edge/runtime.h"
#include "edge/snapshots.h"
#include "edge/ticks.h"
#include "os/fd.h"
#include "wire/edge.h"
#include "wire/fault.h"
#include "wire/slots.h"

namespace thole::edge {

class ControlLink {
public:
    ControlLink(Runtime& runtime, EdgeFolders folders, const Ticks& ticks, Holder& holder)
        : runtime_(runtime),
          reports_(runtime),
          judging_(runtime),
          route_reports_(runtime.segment),
          refusal_reports_(runtime.segment),
          folders_(std::move(folders)),
          ticks_(ticks),
          holder_(holder),
          hand_over_(runtime, holder),
          disk_(folders_.data + "/edge"),
          access_(runtime.segment, folders_.data + "/edge") {}
    // Before the workers are started, and before anything is adopted.
    void start_disk() {
        disk_.start();
        access_.start();
    }
    std::vector<int> descriptors() const;
    [[noreturn]] void run();
    // This edge took another one's place: control is told so, whenever it comes.
    void tell_of_upgrade(const Inheritance& from, const Adopted& adopted);
    // Activates the last snapshot on disk, where there is one: so that an edge serves with control
    // dead.
    void activate_last();

private:
    void turn();
    void tick();
    void replace_holder();
    void announce();
    void park_what_keeper_lost();
    void hear_keeper();
    void look_at_successor();
    void accept();
    void receive();
    void obey(std::string_view datagram);
    void welcome(const wire::HelloToEdge& hello);
    void activate(const wire::SnapshotRequest& request);
    void begin_activation();
    void hear_disk();
    void end_activation(const Status& done);
    void change_endpoints(std::string_view body);
    void hold(const wire::HoldRequest& request);
    void share(std::string_view body);
    void cut(const wire::CutRequest& request);
    void tell_why(const wire::WhyRequest& request);
    void inject(const wire::FaultRequest& request);
    void forget_fault(std::uint32_t place);
    void drain(const wire::DrainRequest& request);
    void wait_for_workers();
    void acknowledge(std::uint64_t sequence);
    enum class Patience { None, UntilSent };
    void report(Patience patience = Patience::None);
    template <typename Message>
    void send(wire::EdgeMessage type, const Message& message);
    void send_frame(const std::string& frame);
    bool try_send(const std::string& frame);
    void drop();

    Runtime& runtime_;
    Reports reports_;
    Judging judging_;
    RouteReports route_reports_;
    RefusalReports refusal_reports_;
    EdgeFolders folders_;
    const Ticks& ticks_;
    Holder& holder_;
    HandOver hand_over_;
    std::optional<wire::Upgraded> upgraded_;
    std::int64_t quiet_since_ns_ = 0;
    DiskThread disk_;
    AccessLog access_;
    std::optional<KeeperLink> keeper_;  // Open where keeper knows of us.
    os::FileDescriptor link_;
    bool is_greeted_ = false;
    bool wants_routes_ = false;
    std::deque<wire::SnapshotRequest> waiting_;  // Of this link.
    std::optional<wire::SnapshotRequest> activating_;
    bool is_answer_wanted_ = false;     // By this link.
    std::optional<NextSnapshot> next_;  // Once it was read.
    std::set<std::uint32_t> held_;      // Services, those that no snapshot names yet among them.
    std::optional<std::vector<wire::ServiceShares>> shares_;  // Once a control has said them.
    std::int64_t reported_ns_ = 0;
    std::uint64_t sequence_ = 0;
};

}  // namespace thole::edge
