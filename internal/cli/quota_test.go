package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/api/schema"
)

// TestQuotasArePrinted shows limits beside what is used of them, those of the team too.
func TestQuotasArePrinted(t *testing.T) {
	q := schema.Quota{Owner: "key_1", Team: "film", Limits: access.Quota{Rate: 2, Burst: 5, Queued: 10,
		Bytes: 2e9, Priority: new(0)}, Used: schema.Used{Queued: 3, DeviceSeconds: 12.25, Bytes: 1e6},
		TeamLimits: &access.Quota{DeviceSeconds: 3600, Weight: 2.5}, TeamUsed: &schema.Used{Running: 4}}
	var out bytes.Buffer
	if err := printQuota(&out, q, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"key_1 requests 2 a second, 5 at once -",
		"key_1 jobs that wait 10 3",
		"key_1 jobs that run none 0", "key_1 device-seconds today (UTC) none 12.2",
		"key_1 stored bytes 2.0 GB 1.0 MB", "key_1 priority 0 -", "key_1 weight 1 -",
		"team film jobs that run none 4", "team film device-seconds today (UTC) 3600.0 0.0",
		"team film weight 2.5 -", "team film priority none -"} {
		found := false
		for line := range strings.Lines(out.String()) {
			found = found || strings.Join(strings.Fields(line), " ") == want
		}
		if !found {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}
