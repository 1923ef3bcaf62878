package engine

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/job"
)

// TestSecondsAreSharedWhileAClipIsDecoded puts the shared parts of a clip together: but for the
// places in the header that are filled in at the end they are the clip's first bytes.
func TestSecondsAreSharedWhileAClipIsDecoded(t *testing.T) {
	a := newAttempts(t, partMeshes[0])
	a.plan.Spec.Format, a.plan.Spec.Frames, a.plan.Spec.FPS = "webm", 17, 4
	first := a.run()
	video := object(t, a.objects, first.Video)
	var seen []byte
	for i := range 4 { // the fifth second is one frame, which may come too late
		o, ok := a.parts[fmt.Sprintf("video.%04d", i)]
		if !ok {
			t.Fatalf("parts %v", a.parts)
		}
		seen = append(seen, object(t, a.objects, o)...)
	}
	const header = 100 // bytes, in which the places are
	if len(seen) > len(video) || !bytes.Equal(seen[header:], video[header:len(seen)]) {
		t.Errorf("%d shared bytes are not the first of %d", len(seen), len(video))
	}
	again := a.run()
	if again.Video != first.Video || len(a.notes) > 0 {
		t.Errorf("a later attempt makes %v, not %v; notes %v", again.Video, first.Video, a.notes)
	}
}

func TestOnlyWebMIsShared(t *testing.T) {
	a := newAttempts(t, partMeshes[0])
	a.plan.Spec.FPS = 1
	a.run()
	for name := range a.parts {
		if strings.HasPrefix(name, job.PartVideo) {
			t.Errorf("PNG frames left part %s", name)
		}
	}
}
