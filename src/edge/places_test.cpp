// Places at a service and those who wait for one: never more than there are, and none is lost.
#include <gtest/gtest.h>

#include "edge/places.h"
#include "edge/test_times.h"

namespace thole::edge {
namespace {

TEST(Places, NoMoreAreTakenThanThereAre) {
    Places places;
    EXPECT_TRUE(places.take(2) && places.take(2));
    EXPECT_FALSE(places.take(2));
    EXPECT_EQ(places.taken(), 2U);
    places.give_back();
    EXPECT_TRUE(places.take(2));
    // The cap has become less, or an edge has died: who is there is there.
    places.take_anyway();
    EXPECT_EQ(places.taken(), 3U);
    places.give_back();
    EXPECT_FALSE(places.take(2));
}

TEST(Places, NoMoreWaitThanMayButForThoseWhoWereLetIn) {
    Places places;
    EXPECT_FALSE(places.join(0));
    EXPECT_TRUE(places.join(1));
    EXPECT_FALSE(places.join(1));
    places.join_anyway();
    EXPECT_EQ(places.waiting(), 2U);
    places.leave();
    places.leave();
    EXPECT_TRUE(places.join(1));
}

// What one worker decides goes by the lines of all.
TEST(Places, TheLoadIsThatOfAllWorkers) {
    Places places;
    EXPECT_EQ(places.load(10, 5, kSecond).longest_wait_ns, 0);
    places.take_anyway();
    for (int i = 0; i < 6; ++i) places.join_anyway();
    places.tell(0, 2, 1, 900 * kMillisecond);
    places.tell(1, 3, 0, 700 * kMillisecond);
    const Load load = places.load(10, 5, kSecond);
    EXPECT_EQ(load.in_flight, 1U);
    EXPECT_EQ(load.in_flight_max, 10U);
    EXPECT_EQ(load.waiting_max, 5U);
    EXPECT_EQ(load.waiting_normal, 5U);
    EXPECT_EQ(load.waiting_low, 1U);
    EXPECT_EQ(load.longest_wait_ns, 300 * kMillisecond);
    EXPECT_EQ(places.waiting(0, Priority::Low), 1U);
    EXPECT_NE(places.next_turn(), places.next_turn());
}

TEST(Places, WhoIsAskedToMakeRoomIsAskedOnce) {
    Places places;
    EXPECT_FALSE(places.takes_drop());
    EXPECT_TRUE(places.ask_to_drop(1));
    EXPECT_FALSE(places.ask_to_drop(1)) << "the only one is to go already";
    EXPECT_TRUE(places.takes_drop());
    EXPECT_FALSE(places.takes_drop());
}

}  // namespace
}  // namespace thole::edge
