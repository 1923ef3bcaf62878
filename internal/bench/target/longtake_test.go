package target

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/longtake/longtake/internal/api"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/local"
	"github.com/longtake/longtake/internal/shard"
)

// cluster is one of two shards in this process, found out by its URL.
func cluster(t *testing.T, o Options) Target {
	t.Helper()
	tiny := []shard.ModelDir{{Dir: golden.Root("testdata", "golden", "tiny3")}}
	l, err := local.Start(t.Context(), local.Config{Models: tiny,
		Shards: 2, Threads: 1, Transport: "mem", Listen: "127.0.0.1:0", Auth: api.OpenAuth(),
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	o.URL = l.URL
	to, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { to.Close() })
	return to
}

// TestOurOwn: a cluster of ours tells all there is to know of a clip, and the clip is the one that
// it was asked for.
func TestOurOwn(t *testing.T) {
	to := cluster(t, Options{Content: true})
	about, err := to.Describe(t.Context())
	if err != nil || about.Dialect != "longtake" || about.Model == "" || about.Dtype != "fp32" ||
		len(about.Devices) != 1 || about.Devices[0].Count != 2 || about.Details["fingerprint"] == "" {
		t.Errorf("%+v, %v", about, err)
	}

	r := Request{Prompt: "a red ball", Width: 32, Height: 32, Frames: 5, FPS: 8, Steps: 2, Seed: 3}
	states := map[string]bool{}
	out, err := to.Make(t.Context(), r, func(p Progress) { states[p.State] = true })
	if err != nil || !states["completed"] {
		t.Fatalf("%+v, %v, %v", out, states, err)
	}
	if out.Latency <= 0 || out.Resolution <= 0 || out.Resolution > out.Latency || out.Queue < 0 ||
		out.Queue > out.Latency || out.Stages["denoise"] <= 0 || out.Frames != 5 || out.Width != 32 ||
		out.FPS != 8 || out.Steps != 2 || out.Ranks < 1 || out.Attempts != 1 || out.Mesh == "" ||
		out.DeviceSeconds <= 0 || out.Operations <= 0 || len(out.LatentsSHA256) != 64 ||
		len(out.ContentSHA256) != 64 || out.ContentBytes == 0 || out.Tokens != 8 ||
		out.StepSeconds <= 0 || out.FirstPlayable <= 0 {
		t.Errorf("%+v", out)
	}
	if p := out.PerRank; out.Ranks != 2 || p == nil || p.CommunicationShare < 0 ||
		p.CommunicationShare >= 1 || p.Straggler.Node == "" || p.Straggler.Ratio < 1 ||
		p.Sent.Max <= 0 || out.BytesSent == 0 || out.SlowestStep < out.StepSeconds {
		t.Errorf("%d ranks: %+v, %d bytes", out.Ranks, p, out.BytesSent)
	}
	again, err := to.Make(t.Context(), r, nil)
	if err != nil || again.LatentsSHA256 != out.LatentsSHA256 || again.ID == out.ID {
		t.Errorf("%+v, %v", again, err)
	}

	var f *Failure
	r.Width = 33
	if _, err := to.Make(t.Context(), r, nil); !errors.As(err, &f) || f.Kind != Rejected ||
		f.Status != 400 {
		t.Errorf("%v", err)
	}
	r.Width, r.Extra = 32, map[string]any{"stepps": 5}
	if _, err := to.Make(t.Context(), r, nil); !errors.As(err, &f) || f.Kind != Rejected {
		t.Errorf("%v", err)
	}

	// A clip of hours is given up, and cancelled.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r.Extra, r.Steps = nil, 1000
	_, err = to.Make(ctx, r, func(p Progress) {
		if p.State == "in_progress" {
			cancel()
		}
	})
	if !errors.As(err, &f) || f.Kind != Cancelled {
		t.Errorf("%v", err)
	}
}
