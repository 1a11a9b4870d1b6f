// ps, logs, timeline, version and help against a server on a unix socket.
#include "cli/scripted_test.h"

namespace thole::cli {
namespace {

TEST_F(CliTest, PsShowsServicesInstancesRolesAndWhatIsNotPromised) {
    serve();
    EXPECT_EQ(thole({"ps"}), 0);
    EXPECT_NE(outside_.data_.find("SERVICE  STATE    READY  RELEASE  ADDRESS\n"
                                  "web      serving  1/1    v3       http://127.0.0.1:8080\n"),
              std::string::npos)
        << outside_.data_;
    EXPECT_NE(outside_.data_.find("web-17.2  ready  v3       4711  40001  "), std::string::npos)
        << outside_.data_;
    EXPECT_NE(outside_.data_.find("keeper  running  11   "), std::string::npos) << outside_.data_;
    EXPECT_NE(outside_.data_.find("not promised here: no cgroup rights here\n"), std::string::npos);
    EXPECT_EQ(outside_.talk_, "");
}

TEST_F(CliTest, PsSaysWhatIsPausedByWhomAndUntilWhen) {
    system_ = system_json(
        "serving",
        R"("paused":{"since":"2026-11-24T05:12:03.120Z","until":"2026-11-24T05:12:33.120Z",)"
        R"("by":"uid 1000","applied":true},)");
    serve();
    EXPECT_EQ(thole({"ps"}), 0);
    EXPECT_NE(outside_.data_.find(" by uid 1000, until 06:12:33\n"), std::string::npos)
        << outside_.data_;
}

TEST_F(CliTest, PsSaysWhoKeepsMoreThanItSaid) {
    system_ = system_json("serving", R"("state_bytes_wanted":1048576,"state_bytes":3407872,)");
    serve();
    EXPECT_EQ(thole({"ps"}), 0);
    EXPECT_NE(
        outside_.data_.find("\nweb keeps 3.2 MiB, more than its state of 1.0 MiB: not enforced\n"),
        std::string::npos)
        << outside_.data_;
    system_ = system_json("serving", R"("state_bytes_wanted":1048576,"state_bytes":1048576,)");
    EXPECT_EQ(thole({"ps"}), 0);
    EXPECT_EQ(outside_.data_.find("keeps", outside_.data_.find("enforced")), std::string::npos);
}

TEST_F(CliTest, PsAsJsonIsOneObjectWithAFormat) {
    serve();
    EXPECT_EQ(thole({"ps", "--json"}), 0);
    EXPECT_EQ(outside_.data_, R"({"format":1,"system":)" + system_ + "}\n");
}

TEST_F(CliTest, WhereNothingRunsItSaysHowToBegin) {
    EXPECT_EQ(thole({"ps"}), 5);
    EXPECT_EQ(outside_.data_, "");
    EXPECT_EQ(outside_.talk_,
              "thole: nothing runs here yet (" + outside_.folder_ + ")\n  try: thole up\n");
    EXPECT_EQ(thole({"logs", "-f"}), 5);
    EXPECT_EQ(thole({"timeline", "-f"}), 5);
    EXPECT_EQ(thole({"restart", "web"}), 5);
}

TEST_F(CliTest, ANewSystemIsKindlyEmpty) {
    system_ = R"({"revision":0,"phase":"running","settled":true,"services":[],"roles":[]})";
    serve();
    EXPECT_EQ(thole({"ps"}), 0);
    EXPECT_EQ(outside_.data_, "");
    EXPECT_EQ(outside_.talk_, "nothing runs here yet\n  try: thole up\n");
}

// control is back within a second; who asks at that moment must not see an error.
TEST_F(CliTest, AQuestionOutlivesAControlThatRestarts) {
    serve();
    int times = 0;
    answers_["GET /api/v1/system"] = [&](const web::ServerRequest&, const web::Responder& to) {
        if (++times == 1) to.refuse(unavailable("control starts"));
        if (times == 2)
            outside_.each_turn_ = [this] {
                outside_.each_turn_ = [] {};
                break_connections();
            };
        if (times == 2) kept_ = to;
        if (times > 2) to.answer(200, system_);
    };
    EXPECT_EQ(thole({"ps"}), 0) << outside_.talk_;
    EXPECT_EQ(times, 3);
}

TEST_F(CliTest, ADaemonThatDoesNotAnswerIsExitFive) {
    serve();
    answers_["GET /api/v1/system"] = [](const web::ServerRequest&, const web::Responder& to) {
        to.refuse(unavailable("the disk is full"));
    };
    EXPECT_EQ(thole({"ps", "--timeout", "50ms"}), 1);  // It answers: that is its own word.
    EXPECT_NE(outside_.talk_.find("the disk is full"), std::string::npos);
    listening_ = nullptr;  // The socket stays, and nobody listens.
    EXPECT_EQ(thole({"ps", "--timeout", "50ms", "--json"}), 5);
    EXPECT_NE(outside_.talk_.find("thole does not answer for " + outside_.folder_),
              std::string::npos);
    EXPECT_NE(outside_.data_.find(R"({"format":1,"error":{"code":"unavailable",)"),
              std::string::npos);
}

TEST_F(CliTest, ColoursAndControlCharactersNeverLeaveUnasked) {
    system_ = system_json("serv\\u001b]0;x\\u0007ing", "");
    serve();
    outside_.is_terminal_ = true;
    outside_.variables_["NO_COLOR"] = "1";
    EXPECT_EQ(thole({"ps"}), 0);
    EXPECT_NE(outside_.data_.find("serv\\x1b]0;x\\x07ing"), std::string::npos);
    EXPECT_EQ(outside_.data_.find('\x1b'), std::string::npos);
}

TEST_F(CliTest, APsOnANarrowTerminalKeepsToItsWidth) {
    system_ =
        system_json("failing", R"("reason":"exited with status 1 after 20 ms, 7 times in a row",)");
    serve();
    outside_.is_terminal_ = true;
    outside_.width_ = 60;
    EXPECT_EQ(thole({"ps"}), 0);
    const std::string first = outside_.data_.substr(0, outside_.data_.find("\n\n"));
    EXPECT_NE(first.find("…"), std::string::npos) << first;
}

TEST_F(CliTest, LogsNameTheInstanceInAColumn) {
    serve();
    answers_["GET /api/v1/logs"] = [](const web::ServerRequest&, const web::Responder& to) {
        to.begin(200, "application/x-ndjson");
        to.part(R"({"service":"web","instance":"web-17","stream":"out","text":"a\u001b[2Jb"})"
                "\n{");
        to.part(R"("service":"api","instance":"api-1","stream":"err","text":"c"})"
                "\n\n");
        to.part(R"({"service":"api","instance":"api-1","stream":"err","lost_bytes":65536})"
                "\n");
        to.end();
    };
    EXPECT_EQ(thole({"logs", "web", "--since", "10m", "--lines", "5"}), 0);
    EXPECT_TRUE(has_asked("GET /api/v1/logs?service=web&lines=5&since=10m"));
    EXPECT_EQ(thole({"logs", "--build", "web"}), 0);
    EXPECT_TRUE(has_asked("GET /api/v1/logs?service=web&build=1"));
    EXPECT_EQ(outside_.data_, "web-17 | a\x1b[2Jb\napi-1  | c\n");  // A program gets the bytes.
    EXPECT_EQ(outside_.talk_, "api-1: 65536 bytes of its stderr are not there any more\n");
    outside_.is_terminal_ = true;
    outside_.variables_["TERM"] = "dumb";
    EXPECT_EQ(thole({"logs"}), 0);
    EXPECT_EQ(outside_.data_, "web-17 | a\\x1b[2Jb\napi-1  | c\n");
    EXPECT_EQ(thole({"logs", "--json", "-q"}), 0);
    EXPECT_EQ(outside_.data_.substr(0, 30), R"({"service":"web","instance":"w)");
}

TEST_F(CliTest, LogsRefuseWhatTheApiWouldMisread) {
    serve();
    EXPECT_EQ(thole({"logs", "--since", "10"}), 2);
    EXPECT_EQ(thole({"logs", "--lines", "many"}), 2);
    EXPECT_EQ(thole({"logs", "web", "--service", "api"}), 2);
    EXPECT_EQ(thole({"logs", "We b"}), 2);
    answers_["GET /api/v1/logs"] = [](const web::ServerRequest&, const web::Responder& to) {
        to.refuse(not_found("there is no service 'webb'").with_hint("thole logs web"));
    };
    EXPECT_EQ(thole({"logs", "webb"}), 2);
    EXPECT_EQ(outside_.talk_, "thole: there is no service 'webb'\n  try: thole logs web\n");
}

// Whoever watches logs when control dies goes on watching.
TEST_F(CliTest, FollowedLogsGoOnWhenControlIsBack) {
    serve();
    int times = 0;
    bool is_broken = false;
    answers_["GET /api/v1/logs"] = [&](const web::ServerRequest&, const web::Responder& to) {
        ++times;
        to.begin(200, "application/x-ndjson");
        to.part(times == 1 ? R"({"service":"web","instance":"web-17","stream":"out","text":"one"})"
                             "\n"
                           : R"({"service":"web","instance":"web-17","stream":"out","text":"two"})"
                             "\n");
        kept_ = to;
    };
    outside_.each_turn_ = [&] {
        if (times == 1 && !is_broken && outside_.data_.find("one") != std::string::npos) {
            is_broken = true;
            break_connections();
        }
        if (outside_.data_.find("two") != std::string::npos) outside_.is_interrupted_ = true;
    };
    EXPECT_EQ(thole({"logs", "-f"}), 0);
    EXPECT_EQ(outside_.data_, "web-17 | one\nweb-17 | two\n");
    EXPECT_EQ(times, 2);
    EXPECT_NE(outside_.talk_.find("control restarted"), std::string::npos);
    EXPECT_NE(asked_.back().find("since="), std::string::npos) << asked_.back();
}

// Services may say nothing for hours: two restarts of control in that time are two short breaks
// and not one long.
TEST_F(CliTest, FollowedLogsOutliveManyBreaksWhileNobodyWrites) {
    serve();
    int times = 0;
    env::Clock& clock = outside_.env().clock;
    Time opened_at{};
    answers_["GET /api/v1/logs"] = [&](const web::ServerRequest&, const web::Responder& to) {
        ++times;
        opened_at = clock.now();
        to.begin(200, "application/x-ndjson");
        kept_ = to;
    };
    int broken = 0;
    outside_.each_turn_ = [&] {
        const bool is_old = clock.now() - opened_at > std::chrono::milliseconds(150);
        if (times == 4) outside_.is_interrupted_ = true;
        if (times > broken && is_old) {
            broken = times;
            break_connections();
        }
    };
    EXPECT_EQ(thole({"logs", "-f", "--timeout", "100ms"}), 0) << outside_.talk_;
    EXPECT_EQ(times, 4);
}

TEST_F(CliTest, TheTimelineIsAlignedAndInThisPlacesTime) {
    serve();
    answers_["GET /api/v1/timeline"] = [](const web::ServerRequest&, const web::Responder& to) {
        to.answer(200, R"({"entries":[)" + entry_json(9, "ready after 340 ms") + "]}");
    };
    EXPECT_EQ(thole({"timeline", "web", "--limit", "5"}), 0);
    EXPECT_TRUE(has_asked("GET /api/v1/timeline?after=0&limit=5&service=web"));
    EXPECT_EQ(outside_.data_,
              "2026-11-24 14:03:07  web-17.2     instance ready     ready after 340 ms\n");
    EXPECT_EQ(thole({"timeline", "--json"}), 0);
    EXPECT_EQ(outside_.data_.substr(0, 36), R"({"format":1,"timeline":{"entries":[{)");
}

TEST_F(CliTest, AFollowedTimelineHasEachEntryOnceAcrossARestartOfControl) {
    serve();
    int times = 0;
    bool is_broken = false;
    answers_["GET /api/v1/timeline"] = [&](const web::ServerRequest& request,
                                           const web::Responder& to) {
        ++times;
        to.begin(200, "application/x-ndjson");
        if (times == 1) to.part(entry_json(1, "one") + "\n\n" + entry_json(2, "two") + "\n");
        if (times == 2) to.part(entry_json(2, "two") + "\n" + entry_json(3, "three") + "\n");
        if (times == 2) { EXPECT_EQ(request.parameter("after"), "2"); }
        kept_ = to;
    };
    outside_.each_turn_ = [&] {
        if (times == 1 && !is_broken && outside_.data_.find("two") != std::string::npos) {
            is_broken = true;
            break_connections();
        }
        if (outside_.data_.find("three") != std::string::npos) stop_serving();
        if (outside_.data_.find("three") != std::string::npos) outside_.each_turn_ = [] {};
    };
    EXPECT_EQ(thole({"timeline", "-f", "--json"}), 0);
    EXPECT_EQ(outside_.data_, entry_json(1, "one") + "\n" + entry_json(2, "two") + "\n" +
                                  entry_json(3, "three") + "\n");
    EXPECT_EQ(outside_.talk_, "thole has ended, and with it the services\n");
}

TEST_F(CliTest, WhyTellsWhoHadARequestAndHowLongEachPartTook) {
    answers_["GET /api/v1/requests/00000000000000ff"] = [](const auto&, const auto& to) {
        to.answer(
            200,
            R"({"id":"00000000000000ff0000000000000001","requests":[)"
            R"({"began":"2026-11-24T05:12:03.120Z",)"
            R"("under_way":false,"phase":"answering","outcome":"success","status":200,)"
            R"("request":"GET /cart","service":"orders","caller":"web","port":40000,)"
            R"("client":"127.0.0.1",)"
            R"("considered":2,"attempts":1,"tries":2,"ended_tries":[{"instance":"orders-3.1",)"
            R"("end":"refused","took_us":200}],"instance":"orders-4.1","release":2,)"
            R"("answered_by":"instance","why":"","head_us":100,"held_us":0,"attached_us":300,)"
            R"("connect_us":50,"answer_us":2050,"total_us":2850,"bytes_in":20,"bytes_out":300}]})");
    };
    serve();
    EXPECT_EQ(thole({"why", "00000000000000ff"}), 0);
    EXPECT_EQ(outside_.data_,
              "request 00000000000000ff0000000000000001\n"
              "2026-11-24 06:12:03  GET /cart\n"
              "  web calls orders\n"
              "  try 1: orders-3.1 took no connection after 0.2 ms\n"
              "  try 2: orders-4.1 (v2), one of 2 that served\n"
              "  answered by orders-4.1 (v2) with 200\n"
              "  3.0 ms in all: head 0.1 ms, waited 0.0 ms, earlier tries 0.3 ms, connect 0.1 ms, "
              "answer's head 2.0 ms, body 0.5 ms\n"
              "  20 bytes in, 300 out\n");
}

TEST_F(CliTest, WhySaysWhatTheEdgeAnsweredAndWhatGoesOn) {
    answers_["GET /api/v1/requests/00000000"] = [](const auto&, const auto& to) {
        to.answer(
            200,
            R"({"id":"00000000000000ff0000000000000001","requests":[)"
            R"({"began":"","phase":"waiting","outcome":"overloaded","status":503,)"
            R"("request":"GET /","service":"web","port":8080,"tries":0,"instance":"",)"
            R"("answered_by":"thole","why":"too late\u001b[2J"},)"
            R"({"began":"","phase":"waiting","under_way":true,"service":"web","tries":0},)"
            R"({"began":"","phase":"asked","outcome":"client_gone","status":0,"service":"web",)"
            R"("tries":1,"instance":"web-1.1","release":1},)"
            R"({"began":"","phase":"answering","outcome":"reset","status":200,"service":"web",)"
            R"("tries":1,"instance":"web-1.1","release":1,"answered_by":"instance"}]})");
    };
    serve();
    EXPECT_EQ(thole({"why", "00000000"}), 0);
    for (const char* words :
         {"from outside by port 8080 to web\n  answered by thole with 503: too late\\x1b[2J\n",
          "under way: waits for an instance that serves\n",
          "not answered: the client left before its answer was whole\n",
          "answered by web-1.1 (v1) with 200, but not whole: its instance went away\n"})
        EXPECT_NE(outside_.data_.find(words), std::string::npos) << outside_.data_;
}

TEST_F(CliTest, WhyPassesOnWhatTheApiSaysOfAnIdThatIsNotThere) {
    answers_["GET /api/v1/requests/nobodys"] = [](const auto&, const auto& to) {
        to.refuse(
            not_found("no request nobodys: the edge remembers 3").with_hint("thole timeline"));
    };
    serve();
    EXPECT_EQ(thole({"why", "nobodys"}), 2);
    EXPECT_EQ(outside_.talk_,
              "thole: no request nobodys: the edge remembers 3\n  try: thole timeline\n");
}

TEST_F(CliTest, VersionAndHelpNeedNothingThatRuns) {
    EXPECT_EQ(thole({"version"}), 0);
    EXPECT_EQ(outside_.data_, "thole 0.1.0\n");
    EXPECT_EQ(thole({"help", "--folder", "/nowhere"}), 0);
    EXPECT_NE(outside_.data_.find("\nship\n  up "), std::string::npos) << outside_.data_;
    EXPECT_NE(outside_.data_.find("\nprove\n  fault "), std::string::npos) << outside_.data_;
    EXPECT_EQ(thole({"scale", "--help"}), 0);
    EXPECT_EQ(outside_.data_.substr(0, 26), "thole scale <service> <n>\n");
    EXPECT_EQ(thole({"help", "plan"}), 2);
    serve();
    EXPECT_EQ(thole({"version", "--json"}), 0);
    EXPECT_EQ(outside_.data_,
              R"({"format":1,"version":"0.1.0","control":{"version":"0.1.0","pid":12}})"
              "\n");
}

TEST_F(CliTest, OutputThatIsLostIsNoSuccess) {
    outside_.is_disk_full_ = true;
    EXPECT_EQ(thole({"version"}), 1);
    EXPECT_NE(outside_.talk_.find("could be"), std::string::npos);
}

TEST_F(CliTest, AFolderThatIsNotThereIsAUsageError) {
    EXPECT_EQ(thole({"ps", "--folder", "/nowhere"}), 2);
    EXPECT_EQ(outside_.talk_, "thole: folder /nowhere: No such file or directory\n");
}

TEST(ExitCodes, FollowFromWhatTheCallerCanDo) {
    EXPECT_EQ(exit_of(Code::Invalid, Answered::Yes), 2);
    EXPECT_EQ(exit_of(Code::Denied, Answered::No), 4);
    EXPECT_EQ(exit_of(Code::Unavailable, Answered::No), 5);
    EXPECT_EQ(exit_of(Code::Unavailable, Answered::Yes), 1);
    EXPECT_EQ(exit_of(Code::Timeout, Answered::Yes), 6);
    EXPECT_EQ(exit_of(Code::Conflict, Answered::Yes), 1);
}

}  // namespace
}  // namespace thole::cli
