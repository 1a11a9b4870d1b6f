// up, restart, scale and down against a server on a unix socket.
#include "base/json.h"
#include "cli/console.h"
#include "cli/scripted_test.h"

namespace thole::cli {
namespace {

const std::string kManifest = "name: shop\nservices:\n  web: {run: ./server, public: 8080}\n";

class UpTest : public CliTest {
protected:
    UpTest() {
        write_manifest(kManifest);
        outside_.git_[outside_.folder_] = {"server", "thole.yaml"};
        outside_.on_start_ = [this] {
            serve();
            return success();
        };
    }
};

TEST_F(UpTest, StartsTholeSendsTheManifestAndPrintsTheAddresses) {
    EXPECT_EQ(thole({"up"}), 0);
    ASSERT_EQ(outside_.started_.size(), 1U);
    EXPECT_EQ(outside_.started_[0].run, path_of("run"));
    EXPECT_EQ(outside_.started_[0].data, path_of("data"));
    EXPECT_EQ(outside_.started_[0].binaries, "/opt/thole");
    EXPECT_EQ(outside_.data_, "web  http://127.0.0.1:8080\n");
    EXPECT_NE(outside_.talk_.find("shop serves: 1 service, 1 instance ready, after "),
              std::string::npos)
        << outside_.talk_;
    const Json sent = parse_json(body_of("PUT /api/v1/manifest")).value();
    EXPECT_EQ(sent.text_at("folder").value(), outside_.folder_);
    EXPECT_EQ(sent.text_at("text").value(), kManifest);
    EXPECT_EQ(sent.find("files")->array()->size(), 2U);
    EXPECT_EQ(sent.boolean_at("prune").value(), false);
}

TEST_F(UpTest, StartsNothingWhereTholeRuns) {
    serve();
    EXPECT_EQ(thole({"up", "--prune", "-q"}), 0);
    EXPECT_TRUE(outside_.started_.empty());
    EXPECT_EQ(outside_.talk_, "");
    EXPECT_EQ(parse_json(body_of("PUT /api/v1/manifest")).value().boolean_at("prune").value(),
              true);
}

TEST_F(UpTest, WithoutAManifestItSaysNotYetAndChangesNothing) {
    ASSERT_TRUE(outside_.env().files.remove(path_of("thole.yaml")).ok());
    EXPECT_EQ(thole({"up"}), 2);
    EXPECT_NE(outside_.talk_.find("not yet: guessing services"), std::string::npos);
    EXPECT_NE(outside_.talk_.find("  try: printf 'name: "), std::string::npos);
    EXPECT_TRUE(outside_.started_.empty());
    EXPECT_FALSE(outside_.env().files.exists(path_of(".thole")));
}

TEST_F(UpTest, WhatIsWrongInTheManifestIsExitTwo) {
    answers_["PUT /api/v1/manifest"] = [](const web::ServerRequest&, const web::Responder& to) {
        to.refuse(invalid("thole.yaml:7:5: unknown key 'scael'").with_hint("scale"));
    };
    EXPECT_EQ(thole({"up"}), 2);
    EXPECT_NE(outside_.talk_.find("thole: thole.yaml:7:5: unknown key 'scael'\n  try: scale\n"),
              std::string::npos)
        << outside_.talk_;
}

// It polls until the system has settled at its own revision, and tells what happens meanwhile.
TEST_F(UpTest, WaitsForItsOwnRevisionAndTellsEachChangeOnce) {
    int polls = 0;
    answers_["GET /api/v1/system"] = [&](const web::ServerRequest&, const web::Responder& to) {
        ++polls;
        std::string system = system_;
        if (polls == 2) system.replace(system.find("\"revision\":7"), 12, "\"revision\":6");
        if (polls == 3) system.replace(system.find("\"settled\":true"), 14, "\"settled\":false");
        to.answer(200, system);
    };
    answers_["GET /api/v1/timeline"] = [&](const web::ServerRequest& request,
                                           const web::Responder& to) {
        if (request.parameter("limit") == "1") {
            to.answer(200, R"({"entries":[)" + entry_json(4, "old") + "]}");
        } else if (request.parameter("watch") == "1") {
            EXPECT_EQ(request.parameter("after"), "4");
            to.begin(200, "application/x-ndjson");
            to.part(entry_json(5, "v3: instance web-17.2 ready after 340 ms") + "\n");
            kept_ = to;
        } else {
            to.answer(200, R"({"entries":[)" + entry_json(5, "twice") + "," +
                               entry_json(6, "web-17.2 takes requests") + "]}");
        }
    };
    EXPECT_EQ(thole({"up"}), 0);
    EXPECT_GE(polls, 4);
    EXPECT_NE(outside_.talk_.find("14:03:07 web-17.2: v3: instance web-17.2 ready after 340 ms\n"
                                  "14:03:07 web-17.2 takes requests\n"),
              std::string::npos)
        << outside_.talk_;
    EXPECT_EQ(outside_.talk_.find("twice"), std::string::npos);
}

TEST_F(UpTest, WhatDoesNotServeIsNamedWithItsReasonAndLastLines) {
    system_ = system_json("failing",
                          R"("reason":"exited with status 1","last_lines":["no \u001b[2Jdb"],)");
    EXPECT_EQ(thole({"up", "-q"}), 1);
    EXPECT_EQ(outside_.talk_,
              "web: failing: exited with status 1\n  | no \\x1b[2Jdb\n  try: thole logs web\n");
    EXPECT_EQ(outside_.data_, "");
}

TEST_F(UpTest, AReversedDeployIsExitThreeAndABrokenOneIsExitOne) {
    system_ = system_json("serving",
                          R"("deploy":{"release":4,"status":"reversed","reason":"never ready"},)");
    EXPECT_EQ(thole({"up", "-q"}), 3);
    EXPECT_NE(outside_.talk_.find("its deploy is reversed: never ready"), std::string::npos);
    EXPECT_NE(outside_.talk_.find("the old release serves again"), std::string::npos);
    system_ =
        system_json("serving", R"("deploy":{"release":4,"status":"broken","reason":"make: 2"},)");
    EXPECT_EQ(thole({"up", "-q"}), 1);
}

TEST_F(UpTest, StillInProgressAtTheTimeoutIsExitSix) {
    system_.replace(system_.find("\"settled\":true"), 14, "\"settled\":false");
    EXPECT_EQ(thole({"up", "--timeout", "200ms", "--json"}), 6);
    const Json said = parse_json(outside_.data_).value();
    EXPECT_EQ(said.text_at("result").value(), "in progress");
    EXPECT_EQ(said.integer_at("exit").value(), 6);
    EXPECT_EQ(said.find("system")->text_at("name").value(), "shop");
}

TEST_F(UpTest, AKeeperThatDoesNotStartIsExitFive) {
    outside_.on_start_ = [] {
        return Status(unavailable("keeper: cannot make the run folder: Read-only file system")
                          .with_hint("cat /d/keeper.log"));
    };
    EXPECT_EQ(thole({"up"}), 5);
    EXPECT_NE(outside_.talk_.find("Read-only file system\n  try: cat /d/keeper.log\n"),
              std::string::npos);
}

TEST_F(UpTest, OnATerminalItGoesOnTellingUntilCtrlC) {
    outside_.is_terminal_ = true;
    bool watched = false;
    outside_.each_turn_ = [&] {
        watched = watched || outside_.talk_.find("Ctrl-C stops watching") != std::string::npos;
        if (watched) outside_.is_interrupted_ = true;
    };
    EXPECT_EQ(thole({"up"}), 0);
    EXPECT_TRUE(watched);
    EXPECT_NE(outside_.talk_.find("the services go on; thole ps shows them\n"), std::string::npos);
    EXPECT_FALSE(has_asked("POST /api/v1/down"));
    outside_.is_interrupted_ = false;
    outside_.each_turn_ = [] {};
    EXPECT_EQ(thole({"up", "--detach"}), 0);
}

// Whoever copies a project to try something must not change what runs.
TEST_F(UpTest, ACopyOfARunningProjectIsRefused) {
    serve();
    EXPECT_EQ(thole({"up", "-q"}), 0);
    const std::string id = outside_.env().files.read(path_of(".thole/id"), 64).value();
    ASSERT_TRUE(outside_.env().files.make_folder(path_of("original/.thole"), 0755).ok());
    ASSERT_TRUE(outside_.env()
                    .files.replace(path_of("original/.thole/id"), id, env::Durability::None, 0644)
                    .ok());
    system_.replace(system_.find(R"("folder":"")"), 11,
                    R"("folder":")" + path_of("original") + "\"");
    asked_.clear();
    EXPECT_EQ(thole({"up"}), 1);
    EXPECT_NE(outside_.talk_.find("is it a copy?"), std::string::npos) << outside_.talk_;
    EXPECT_FALSE(has_asked("PUT /api/v1/manifest"));
    for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
             {"down"}, {"restart", "web"}, {"scale", "web", "2"}}) {
        EXPECT_EQ(thole(words), 1) << words[0];
        EXPECT_NE(outside_.talk_.find("  try: rm -r " + path_of(".thole\n")), std::string::npos)
            << outside_.talk_;
    }
    EXPECT_FALSE(has_asked("POST /api/v1/down"));
}

// JSON would carry other names than those on the disk, and other values.
TEST_F(UpTest, WhatIsNotUtf8IsRefusedByName) {
    outside_.git_[outside_.folder_] = {"server", "caf\xe9"};
    EXPECT_EQ(thole({"up"}), 2);
    EXPECT_NE(outside_.talk_.find("caf\xef\xbf\xbd: is not UTF-8\n  try: ls -b "),
              std::string::npos)
        << outside_.talk_;
    outside_.git_[outside_.folder_] = {"server"};
    write_manifest("name: shop\nservices:\n  web: {run: ./server, env: {A: caf\xe9}}\n");
    EXPECT_EQ(thole({"up"}), 2);
    EXPECT_FALSE(has_asked("PUT /api/v1/manifest"));
}

// It ends git, too: what was listed may not be all.
TEST_F(UpTest, NothingIsAppliedAfterCtrlC) {
    serve();
    outside_.is_interrupted_ = true;
    EXPECT_EQ(thole({"up"}), 1);
    EXPECT_FALSE(has_asked("PUT /api/v1/manifest"));
}

// Pasted in another folder it would mean another system.
TEST_F(UpTest, WhatIsToBeTriedNamesTheFolderThatWasNamed) {
    EXPECT_EQ(thole({"ps", "--folder", outside_.folder_}), 5);
    EXPECT_NE(outside_.talk_.find("  try: thole --folder " + outside_.folder_ + " up\n"),
              std::string::npos)
        << outside_.talk_;
    Console console(outside_, Form::People, Loudness::Normal);
    console.set_folder("/a thole b");
    outside_.talk_.clear();
    console.problem("x\n  try: rm -r '/a thole b/.thole'\n  try: sudo thole ps");
    EXPECT_EQ(outside_.talk_,
              "x\n  try: rm -r '/a thole b/.thole'\n"
              "  try: sudo thole --folder '/a thole b' ps\n");
}

TEST_F(UpTest, RestartAndScaleWaitForTheirServiceAndReportIt) {
    serve();
    EXPECT_EQ(thole({"restart", "web"}), 0);
    EXPECT_TRUE(has_asked("POST /api/v1/services/web/restart"));
    EXPECT_NE(outside_.talk_.find("web serves: 1 instance ready"), std::string::npos);
    answers_["POST /api/v1/services/web/scale"] = [&](const web::ServerRequest& request,
                                                      const web::Responder& to) {
        EXPECT_EQ(request.body, R"({"instances":3})");
        system_.replace(system_.find("\"instances_wanted\":1"), 20, "\"instances_wanted\":3");
        to.answer(200, "{}");
    };
    EXPECT_EQ(thole({"scale", "web", "3"}), 0);
    EXPECT_EQ(thole({"scale", "web", "-3"}), 2);
    EXPECT_EQ(thole({"scale", "web", "65"}), 2);
    EXPECT_EQ(thole({"restart", "wbe"}), 2);
    EXPECT_EQ(outside_.talk_,
              "thole: there is no service 'wbe'; there are: web\n  try: thole restart web\n");
}

// Those who pause want to know that nothing is under way any more.
TEST_F(UpTest, PauseWaitsForWhatIsUnderWay) {
    const std::string paused =
        R"("paused":{"since":"2026-11-24T05:12:03.120Z","until":"","by":"root","applied":true},)";
    serve();
    answers_["PUT /api/v1/services/web/paused"] = [&](const web::ServerRequest& request,
                                                      const web::Responder& to) {
        EXPECT_EQ(request.body, R"({"paused":true,"for_ms":90000})");
        system_ = system_json("serving", paused);
        system_.replace(system_.find("\"in_flight\":0"), 13, "\"in_flight\":2");
        to.answer(200, "{}");
    };
    EXPECT_EQ(thole({"pause", "web", "--for", "90s", "--timeout", "200ms"}), 6);
    EXPECT_NE(outside_.talk_.find("web is paused; still under way there: 2\n"), std::string::npos)
        << outside_.talk_;
    outside_.each_turn_ = [&] { system_ = system_json("serving", paused); };
    EXPECT_EQ(thole({"pause", "web", "--for", "90s", "--json"}), 0);
    EXPECT_NE(outside_.data_.find(R"({"format":1,"result":"paused","exit":0,"system":)"),
              std::string::npos)
        << outside_.data_;
    outside_.each_turn_ = [&] { system_ = system_json("serving", R"("paused":null,)"); };
    EXPECT_EQ(thole({"pause", "web", "--for", "90s"}), 1);
    EXPECT_EQ(outside_.talk_, "web is not paused any more\n  try: thole timeline web\n");
}

TEST_F(UpTest, PauseAndResumeNameTheNearestService) {
    serve();
    EXPECT_EQ(thole({"pause", "wbe"}), 2);
    EXPECT_EQ(outside_.talk_,
              "thole: there is no service 'wbe'; there are: web\n  try: thole pause web\n");
    EXPECT_EQ(thole({"resume", "wbe"}), 2);
    EXPECT_EQ(outside_.talk_,
              "thole: there is no service 'wbe'; there are: web\n  try: thole resume web\n");
    EXPECT_EQ(thole({"pause", "web", "--for", "0s"}), 2);
    EXPECT_EQ(thole({"pause", "web", "--for", "soon"}), 2);
    EXPECT_FALSE(has_asked("PUT /api/v1/services/web/paused"));
    EXPECT_EQ(thole({"resume", "web"}), 0);
    EXPECT_EQ(body_of("PUT /api/v1/services/web/paused"), R"({"paused":false})");
}

// Asked twice, a restart would replace everything twice.
TEST_F(UpTest, ARestartWhoseAnswerIsLostIsNotAskedAgain) {
    serve();
    int times = 0;
    answers_["POST /api/v1/services/web/restart"] = [&](const web::ServerRequest&,
                                                        const web::Responder& to) {
        ++times;
        kept_ = to;
        outside_.each_turn_ = [this] {
            outside_.each_turn_ = [] {};
            break_connections();
        };
    };
    EXPECT_EQ(thole({"restart", "web"}), 5);
    EXPECT_EQ(times, 1);
    EXPECT_NE(outside_.talk_.find("may or may not have been done"), std::string::npos);
}

TEST_F(UpTest, DownFollowsUntilTholeItselfIsGone) {
    serve();
    bool asked = false;
    answers_["POST /api/v1/down"] = [&](const web::ServerRequest&, const web::Responder& to) {
        asked = true;
        to.answer(200, "{}");
    };
    answers_["GET /api/v1/timeline"] = [&](const web::ServerRequest& request,
                                           const web::Responder& to) {
        if (request.parameter("watch").empty()) {
            to.answer(200, R"({"entries":[]})");
            return;
        }
        to.begin(200, "application/x-ndjson");
        to.part(entry_json(1, "web-17.2 ended") + "\n");
        kept_ = to;
    };
    outside_.each_turn_ = [&] {
        if (!asked || outside_.talk_.find("ended") == std::string::npos) return;
        outside_.each_turn_ = [] {};
        stop_serving();
    };
    EXPECT_EQ(thole({"down"}), 0);
    EXPECT_TRUE(asked);
    EXPECT_NE(outside_.talk_.find("14:03:07 web-17.2 ended\neverything has ended, after "),
              std::string::npos)
        << outside_.talk_;
    EXPECT_EQ(thole({"down", "--json"}), 0);
    EXPECT_EQ(outside_.data_, R"({"format":1,"result":"down","exit":0})"
                              "\n");
    EXPECT_EQ(outside_.talk_, "nothing runs here (" + outside_.folder_ + ")\n");
}

TEST_F(UpTest, DownSaysSoWhereAnUpCameAfterIt) {
    serve();  // It says that it runs, and goes on saying so.
    EXPECT_EQ(thole({"down"}), 1);
    EXPECT_NE(outside_.talk_.find("somebody said up meanwhile, and it runs again\n"),
              std::string::npos)
        << outside_.talk_;
}

TEST_F(UpTest, DownThatTakesTooLongIsExitSix) {
    serve();
    EXPECT_EQ(thole({"down", "--timeout", "150ms"}), 6);
    EXPECT_NE(outside_.talk_.find("still in progress after"), std::string::npos);
}

}  // namespace
}  // namespace thole::cli
