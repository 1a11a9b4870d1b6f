// Where the promises are tried.
#include "fixture.h"
#include "processes.h"

namespace thole::contract {
namespace {

std::string name_of(const testing::TestParamInfo<Where>& where) { return where.param.name; }

INSTANTIATE_TEST_SUITE_P(Edges, EdgeContract,
                         testing::Values(Where{"Simulated", 1}, Where{"SimulatedOtherwise", 2},
                                         Where{"Real"}),
                         name_of);

}  // namespace
}  // namespace thole::contract

int main(int count, char** arguments) {
    testing::InitGoogleTest(&count, arguments);
    return thole::contract::run_guarded([] { return RUN_ALL_TESTS(); });
}
