package shard

import "github.com/longtake/longtake/internal/media"

// formats lists the video formats that this node can encode; MP4 needs ffmpeg on its machine.
func formats() []string {
	var out []string
	for _, f := range media.Formats() {
		if f.Available() == nil {
			out = append(out, string(f))
		}
	}
	return out
}
