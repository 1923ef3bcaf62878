package result

import "slices"

// mfuFormula is written into the results, since tools count MFU in more than one way.
const mfuFormula = "multiply-adds of the model's own products, attention and convolutions, as its" +
	" shapes give them (none for what is computed twice or skipped) / (device-seconds that the clips" +
	" held, with text, decoding and waiting for other ranks x the device's peak in multiply-adds a" +
	" second)"

// mfu is of the clips that tell their operations and device-seconds; nil if there is none, or if
// the devices are of several kinds or have no known peak: device-seconds do not say on which kind
// they were spent.
func mfu(done []Request, devices []Device) *MFU {
	if len(devices) != 1 || devices[0].Peak == 0 {
		return nil
	}
	m := MFU{Formula: mfuFormula, Peak: devices[0].Peak, PeakSource: devices[0].PeakSource}
	for _, q := range completed(done) {
		if q.Operations > 0 && q.DeviceSeconds > 0 {
			m.Operations += q.Operations
			m.DeviceSeconds += q.DeviceSeconds
		}
	}
	if m.DeviceSeconds == 0 {
		return nil
	}
	m.Value = m.Operations / (m.DeviceSeconds * m.Peak)
	return &m
}

// communication is of the clips that tell how much their ranks sent; nil if none does. A clip that
// tells only the sum is taken as evenly spread. The share of a step is the mean over clips, each of
// which counts as much, long or short.
func communication(done []Request) *Communication {
	var c Communication
	var ranks, most float64
	var shares []float64
	for _, q := range done {
		if q.BytesSent != nil && q.Ranks > 0 {
			sent := float64(*q.BytesSent)
			c.BytesPerRank += sent
			ranks += float64(q.Ranks)
			c.BytesPerRankMax = max(c.BytesPerRankMax, sent/float64(q.Ranks))
		}

		if q.PerRank != nil {
			most = max(most, q.PerRank.Sent.Max)
			shares = append(shares, q.PerRank.CommunicationShare)
		}
	}

	if ranks == 0 && shares == nil {
		return nil
	}

	if shares != nil {
		c.StepShare = new(sum(shares) / float64(len(shares)))
		c.StepShareMax = new(slices.Max(shares))
	}
	c.BytesPerRank /= max(1, ranks)
	c.BytesPerRankMax = max(c.BytesPerRankMax, most)
	return &c
}

// stragglerRatio is how much longer than the median a step takes that makes its clip count.
const stragglerRatio = 2

// stragglers are of the clips that tell their median and slowest steps, or their ranks; nil if none
// does. A ring of ranks is as fast as its slowest, so a single slow rank shows in every clip that
// it is part of.
func stragglers(done []Request) *Stragglers {
	var steps, ranks []float64
	var s Stragglers
	for _, q := range done {
		if q.StepSeconds > 0 && q.SlowestStep > 0 {
			ratio := q.SlowestStep / q.StepSeconds
			steps = append(steps, ratio)
			if ratio > stragglerRatio {
				s.Clips++
			}
		}
		if q.PerRank != nil {
			ranks = append(ranks, q.PerRank.Slowest.Ratio)
		}
	}

	if steps == nil && ranks == nil {
		return nil
	}

	slices.Sort(steps)
	slices.Sort(ranks)

	if steps != nil {
		s.Median, s.Worst = Percentile(steps, 0.5), steps[len(steps)-1]
	}

	if ranks != nil {
		s.RankMedian, s.RankWorst = Percentile(ranks, 0.5), ranks[len(ranks)-1]
		s.Nodes = slowNodes(done)
	}

	return &s
}

// energy sums up what could be read; nil if nothing could. Joules of a second of video are of the
// clips that tell their energy, also where others do not.
func energy(done []Request) *Energy {
	var e Energy
	var seconds float64
	for _, q := range done {
		if q.Joules != nil {
			e.Clips++
			e.Joules += *q.Joules
			seconds += q.VideoSeconds()
		}
	}

	if e.Clips == 0 {
		return nil
	}

	if seconds > 0 {
		e.PerVideoSecond = e.Joules / seconds
	}

	return &e
}
