// Package serve measures servers that make videos under load: it decides when which clip is asked
// for (a scenario), asks a target.Target for it, keeps what came back in a journal, and sums it up
// as a result.Result.
//
//	Setup     what is to be measured: a scenario with its counts, rates and limits. Check refuses
//	          what makes no sense before anything is sent.
//	Slot      one clip that is to be asked for, and when. A setup's slots follow from its seed.
//	Bench     carries a setup out. Its journal is a file: the same setup goes on where it ended.
//	Point     what one rate came to, and whether the server kept up with it (see Judge).
//	Faults    what goes wrong meanwhile, and how long it took to get over it.
//
// Arrivals of open loops (server, mixed, soak) do not wait for answers: a clip is due when its slot
// says so, and its latency counts from then, also where the generator was late. A generator that
// waits for slow answers asks less just when the server is slow, and so leaves the worst latencies
// out; Gil Tene named that coordinated omission (wrk2, HdrHistogram).
//
// # What goes on where
//
//   - setup.go, trace.go: what is to be measured, and what of it makes no sense.
//   - arrivals.go, schedule.go: when which clip is due. All of it follows from the setup.
//   - run.go: a pass, in which clips are asked for when they are due, and written down.
//   - turns.go: two runs that ask two servers for the same clips, one after the other.
//   - bench.go: which passes a scenario has; search.go: which rates, where they are looked for.
//   - faults.go, fidelity.go: what goes wrong on purpose, and whether clips are right.
//   - journal.go: what an interrupted run has left; record.go, cohort.go: the result's words.
//
// # Goroutines
//
// Bench.Run's own goroutine collects what has ended: it alone writes the journal, counts, and tells
// of progress. Another one sends, and starts one for each clip under way, of which there are no
// more than Setup.InFlight. A third lets faults happen. All of them have ended when Run returns.
//
// Nothing here reads a clock other than through package time, so tests run in virtual time
// (testing/synctest).
package serve
