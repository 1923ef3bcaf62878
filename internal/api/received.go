package api

import (
	"context"
	"os"

	"github.com/longtake/longtake/internal/api/source"
)

// received is what a request brought for its clip to start from: a temporary file, or a URL that
// leads to one. It has one of the server's few places for those until it is dropped.
type received struct {
	// What the request called its field, for errors.
	name string
	// To be fetched by open; "": the file is there.
	url   string
	fetch *fetcher
	// A temporary file, removed by drop; nil until a URL is fetched.
	file *os.File
	// Taken before the file is written, or the URL fetched, and held until drop.
	place *place
}

// open finds out what was received: a URL is fetched, and a picture decoded. It is an error of the
// request if it is neither a picture nor latents. The file is closed by drop.
func (in *received) open(ctx context.Context) (*source.File, error) {
	if in.url != "" {
		f, err := in.fetch.get(ctx, in.name, in.url)
		if err != nil {
			return nil, err
		}
		in.file = f
	}
	return source.Inspect(ctx, in.file)
}

// drop removes the temporary file and gives the place back; of nothing, it does nothing.
func (in *received) drop() {
	if in == nil {
		return
	}
	(&reference{file: in.file}).drop()
	in.place.leave()
}
