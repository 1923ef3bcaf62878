// Package scenario describes days of clusters that need not exist, and sums them up: a file says
// which devices there are, who asks for which clips, and what fails. Package sim runs it with the
// real decisions of the coordinators; package perf says how long the parts of a clip take.
//
// # What is drawn
//
// A seed draws when requests come (as a Poisson process whose rate follows the weights of the day),
// of which class each is, and when and where faults happen. Each of these has random numbers of its
// own: a scenario with other faults has the same arrivals, and two clusters can be compared on the
// same day. How long a fault lasts is exponential, with the mean that the scenario gives.
//
// # What is modelled
//
// A device has one process, which registers with the speed, memory and links that perf knows of
// the device. An attempt loads the model where it is not ready, encodes the prompts, makes its
// steps, each as slow as its slowest rank, and stores a checkpoint after each. Frames are decoded
// by all ranks, where the profile says so, and encoded by the first. Messages take a millisecond
// and are not lost, but for those of processes that are cut off.
//
// # What is left out
//
// Coordinators decide at once, and entries are committed the moment they are appended: how long
// that takes depends on disks, networks and processors that are not modelled. How much they have to
// do is counted. Clients ask once, and do not come back when they are refused. Nobody cancels a
// clip, and nobody has a quota, unless a later version of the scenario's form says so. A store
// never fails, and has room for everything. A process whose device hangs while it has no rank is
// found by nobody until it gets one, as in life.
//
// # What is measured
//
// Waits are from a request to its first attempt, latencies to the clip. Device time is busy while a
// device has a rank. Of that is useful what went into prompts, steps, frames and files of clips
// that were delivered; setup is what the first attempts took until their first step; the rest was
// lost to failures, stragglers that were waited for in vain, preemptions and restarts.
//
// Utilisation is for the time in which requests come, and goodput is until the last clip is over. A
// cluster with a queue at the end of the day so has a goodput of all its work, and a utilisation of
// the day alone.
//
// # What a report shows
//
// [Result.Save] writes a page with figures. Each answers a question that an operator has: whether
// the queue empties again (jobs), who comes at a bad time (waits by when a clip was asked for), who
// is served before whom (waits by class), what a failure costs and for how long (utilisation and
// goodput, with the faults), and whether the disks of the coordinators bear it (commands and log).
//
// Utilisation is of devices that are there, goodput of all: a host that is away lowers the latter
// alone, so that the distance of the two lines is what failures and setup take. Work counts for
// goodput when it is done, and only if its clip was delivered, which is known later: the series is
// filled in afterwards for that.
//
// Figures have at most a hundred points, as jobs that come and go make a band of any finer line.
// What they leave out is in the file of the result: 288 points of a day, and all percentiles.
package scenario
