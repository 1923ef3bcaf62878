package vae

// colours are the values of a pixel: red, green and blue.
const colours = 3

// scale returns the places that the decoder's output has for each latent row or column.
func (d *Decoder) scale() int { return d.cfg.SpatialScale() / d.cfg.Patch }

// patches turns lines of w pixels, [H, w, 3], into places of size x size pixels,
// [H/size, w/size, 3·size²], whose channels are in the order (colour, column, row): diffusers'
// patchify.
func patches(x []float32, w, size int) []float32 {
	if size == 1 {
		return x
	}
	out := make([]float32, len(x))
	eachPixel(len(x), w, size, func(pixel, channel int) { out[channel] = x[pixel] })
	return out
}

// pixels is the inverse of patches, for places [H/size, w, 3·size²]: diffusers' unpatchify.
func pixels(x []float32, w, size int) []float32 {
	if size == 1 {
		return x
	}
	out := make([]float32, len(x))
	eachPixel(len(x), w*size, size, func(pixel, channel int) { out[pixel] = x[channel] })
	return out
}

// eachPixel calls f for each of n values of lines of w pixels with its index there, and the index
// that it has among the channels of places.
func eachPixel(n, w, size int, f func(pixel, channel int)) {
	for i := range n {
		colour, x, y := i%colours, i/colours%w, i/(colours*w)
		place := y/size*(w/size) + x/size
		f(i, (place*colours+colour)*size*size+x%size*size+y%size)
	}
}
