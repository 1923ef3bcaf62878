package coord

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"

	"github.com/longtake/longtake/internal/job"
)

func TestStatusAndMetrics(t *testing.T) {
	ctx := context.Background()
	c := start(t, testConfig(t.TempDir()))
	a := fake(t, c, "a")
	id := create(t, c, request(1))
	a.finish(c, a.told())
	untilState(t, c, id, job.Completed)
	s, err := c.Status(ctx)
	if err != nil || s.State != "Leader" || s.Nodes != 1 || s.Jobs != 1 || len(s.Members) != 1 ||
		!s.Members[0].Leader || s.Term == 0 || s.Model.Name != "demo" {
		t.Fatalf("%+v, %v", s, err)
	}
	nodes, err := c.Nodes(ctx)
	if err != nil || len(nodes) != 1 || nodes[0].Name != "name-a" {
		t.Fatalf("%+v, %v", nodes, err)
	}
	families, err := c.Metrics().Gather()
	if err != nil {
		t.Fatal(err)
	}
	checkMetrics(t, families)
}

// checkMetrics wants what an operator's first dashboard needs, and help that is a sentence.
func checkMetrics(t *testing.T, families []*dto.MetricFamily) {
	t.Helper()
	found := map[string]*dto.MetricFamily{}
	for _, f := range families {
		found[f.GetName()] = f
		if !strings.HasPrefix(f.GetName(), "longtake_") {
			continue // Go's and the process's
		}
		if h := f.GetHelp(); !strings.HasSuffix(h, ".") || len(strings.Fields(h)) < 4 {
			t.Errorf("%s: help %q", f.GetName(), h)
		}
	}
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes",
		"process_open_fds", "longtake_build_info", "longtake_nodes_in_state",
		"longtake_oldest_queued_seconds", "longtake_node_seen_seconds", "longtake_node_memory_bytes",
		"longtake_node_sent_bytes", "longtake_node_resent_chunks"} {
		if found[name] == nil {
			t.Errorf("no metric %s", name)
		}
	}
	states := map[string]float64{}
	for _, m := range found["longtake_nodes_in_state"].GetMetric() {
		states[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
	}
	if len(states) != len(nodeStates) || states["idle"]+states["busy"] != 1 {
		t.Errorf("nodes by state %v", states)
	}
}

// TestRaftsLinesKeepTheirSeverity but for the one with which every start begins.
func TestRaftsLinesKeepTheirSeverity(t *testing.T) {
	for line, want := range map[string]string{
		"heartbeat timeout reached, starting election": "",
		"failed to contact":                            "level=WARN",
		"failed to appendEntries":                      "level=ERROR",
	} {
		var out bytes.Buffer
		log := raftLog(slog.New(slog.NewTextHandler(&out, nil)))
		switch want {
		case "":
			log.Warn(line, "last-leader-addr", "", "last-leader-id", "")
		case "level=WARN":
			log.Warn(line, "server-id", "c2")
		default:
			log.Error(line, "error", "x")
		}
		got := out.String()
		if want == "" && got != "" || !strings.Contains(got, want) || strings.Contains(got, "[WARN]") {
			t.Errorf("%s: %q", line, got)
		}
		out.Reset()
		log.Warn("heartbeat timeout reached, starting election", "last-leader-id", "c1")
		if !strings.Contains(out.String(), "WARN") {
			t.Error("a leader that was lost is no warning")
		}
	}
}
