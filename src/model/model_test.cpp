// What the values of model/ know of themselves.
#include <gtest/gtest.h>

#include "model/manifest.h"

namespace thole::model {
namespace {

TEST(Manifest, NamesTheVariableThatLeadsToAService) {
    EXPECT_EQ(url_variable("orders-worker"), "ORDERS_WORKER_URL");
    EXPECT_EQ(url_variable("web"), "WEB_URL");
    EXPECT_EQ(url_variable("z9-a-b"), "Z9_A_B_URL");
}

// Two copies of such a service would share its data or its port.
TEST(Manifest, AServiceWithStateOrAFixedPortIsSingle) {
    ServiceSpec service;
    EXPECT_FALSE(service.is_single());
    service.port_use = PortUse::Fixed;
    EXPECT_TRUE(service.is_single());
    service.port_use = PortUse::Given;
    service.state_bytes = 1;
    EXPECT_TRUE(service.is_single());
}

}  // namespace
}  // namespace thole::model
