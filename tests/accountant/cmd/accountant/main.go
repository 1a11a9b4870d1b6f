// accountant asks a service or the shop at a fixed rate, and counts what became of every request.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"accountant/internal/judge"
)

const usage = `accountant run --target http://127.0.0.1:PORT --rate 200 --seconds 60 [more]
Exit code: 0 nothing failed, 1 something did, 2 it could not run.
`

// sources is a flag that may be given more than once.
type sources []judge.Source

func (s *sources) String() string { return fmt.Sprint(*s) }

func (s *sources) Set(text string) error {
	*s = append(*s, judge.ParseSource(text))
	return nil
}

type words []string

func (w *words) String() string { return fmt.Sprint(*w) }

func (w *words) Set(text string) error {
	*w = append(*w, text)
	return nil
}

func fail(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "accountant: "+format+"\n", values...)
	os.Exit(2)
}

func main() {
	if len(os.Args) < 2 || os.Args[1] != "run" {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	options, path := read(os.Args[2:])
	report := judge.Run(options)
	report.Text(os.Stdout)
	if path != "" {
		write(path, report)
	}
	switch {
	case report.Error != "":
		os.Exit(2)
	case !report.Passed:
		os.Exit(1)
	}
}

func read(arguments []string) (options *judge.Options, reportPath string) {
	o := &judge.Options{}
	flags := flag.NewFlagSet("run", flag.ExitOnError)
	target := flags.String("target", "", "the URL that is asked, http://host:port")
	flags.StringVar(&o.Kind, "kind", "echo", "what stands there: echo (cmd/service) or shop (examples/shop)")
	flags.Float64Var(&o.Rate, "rate", 200, "requests a second, whatever becomes of them")
	seconds := flags.Float64("seconds", 10, "how long")
	untilClosed := flags.Bool("until-stdin-closes", false, "until then, instead of --seconds")
	mix := flags.String("mix", "", "weights, as get=60,post=20")
	hold := flags.String("hold", "", "open all the time, as websocket=20,lines=20,events=5 (shop: ticker=5)")
	flags.Float64Var(&o.NewShare, "new", 0.6, "share of requests on a new connection")
	flags.IntVar(&o.SlowMs, "slow-ms", 8000, "how long a slow answer takes")
	flags.DurationVar(&o.Timeout, "timeout", 35*time.Second, "beyond what the request itself takes")
	flags.DurationVar(&o.AddedMax, "added-max", 2*time.Second, "a longer added wait is a failure")
	flags.IntVar(&o.AllowBroken, "allow-broken", 0, "so many may break that were in flight and not to be sent again")
	flags.Int64Var(&o.Seed, "seed", time.Now().UnixNano()%1_000_000, "of the order of kinds")
	flags.Var((*sources)(&o.Arrivals), "arrivals", "URL or file of raw arrivals, or name=…; each name has each POST once")
	flags.Var((*sources)(&o.Seen), "seen", "URL or file of what services saw, for --begun")
	flags.Var((*words)(&o.ExpectHeaders), "expect-header", "that each answer must have")
	flags.StringVar(&o.Begun, "begun", "", "a file of ids that the edge lists as broken; must equal what broke here")
	flags.StringVar(&reportPath, "report", "", "where the report is written, as JSON")
	flags.Parse(arguments)

	place, err := url.Parse(*target)
	if err != nil || place.Scheme != "http" || place.Port() == "" || flags.NArg() > 0 {
		fail("wanted --target http://host:port\n  try: accountant run --help")
	}
	if o.Kind != "echo" && o.Kind != "shop" || o.Rate <= 0 {
		fail("wanted --kind echo or shop, and a rate above 0")
	}
	o.Target, o.Duration = place.Host, time.Duration(*seconds*float64(time.Second))
	o.Mix, o.Hold = counts(*mix, judge.DefaultMix(o.Kind)), counts(*hold, judge.Sessions(o.Kind))
	if *mix == "" {
		o.Mix = judge.DefaultMix(o.Kind)
	}
	if *untilClosed {
		closed := make(chan struct{})
		o.Until = closed
		go func() {
			io.Copy(io.Discard, os.Stdin)
			close(closed)
		}()
	}
	return o, reportPath
}

func counts(text string, known map[string]int) map[string]int {
	if text == "" {
		return nil
	}
	counts, err := judge.ParseCounts(text, known)
	if err != nil {
		fail("%v", err)
	}
	return counts
}

func write(path string, report *judge.Report) {
	data, err := json.MarshalIndent(report, "", " ")
	if err == nil {
		err = os.WriteFile(path, append(data, '\n'), 0o644)
	}
	if err != nil {
		fail("%v", err)
	}
}
