package diffusion

// solver holds the coefficients of one UniPC update from noise level s to the next, t (Zhao et al.
// 2023). With λ = log(α/σ), h is λ_t - λ_s.
type solver struct {
	order int     // how many predictions of x0 it uses
	ratio float32 // σ_t / σ_s
	scale float32 // α_t·(e^-h - 1): of the newest prediction, and of the slopes, as B(h) is bh2
	// rates holds where the earlier predictions lie, in units of h, and 1 at the end for the new
	// one.
	rates []float32
	b     []float32 // [order]: right side of the order conditions
}

// solve computes the update from noise level i to i+1, as multistep_uni_p_bh_update does.
func (u *uniPC) solve(i, order int) *solver {
	h := u.lambdas[i+1] - u.lambdas[i]
	alpha := 1 - u.sigmas[i+1]
	phi := expm132(-h)
	s := &solver{order: order, ratio: u.sigmas[i+1] / u.sigmas[i], scale: alpha * phi}

	// Where the earlier predictions lie in λ, relative to this step.
	for k := 1; k < order; k++ {
		s.rates = append(s.rates, (u.lambdas[i-k]-u.lambdas[i])/h)
	}
	s.rates = append(s.rates, 1)
	s.b = conditions(-h, phi, order)
	return s
}

// conditions returns k!·φ_{k+1}(hh) / phi for k = 1..order, by the recurrence φ_{k+1} = (φ_k -
// 1/k!) / hh. They make the update exact for polynomials up to the order.
func conditions(hh, phi float32, order int) []float32 {
	var b []float32
	factorial := 1
	term := phi/hh - 1
	for k := 1; k <= order; k++ {
		b = append(b, float32(term*float32(factorial))/phi)
		factorial *= k + 1
		term = term/hh - float32(1/float64(factorial))
	}
	return b
}

// base is the part of the update that needs the newest prediction m0 only: that of order 1, DDIM.
func (s *solver) base(x, m0 float32) float32 {
	return float32(s.ratio*x) - float32(s.scale*m0)
}

// slopes returns Σ rho_k·D_k at element k, where D_k is the difference quotient of an earlier
// prediction and the newest one.
func (s *solver) slopes(rho []float32, history [][]float32, k int) float32 {
	var sum float32
	for j, r := range rho {
		sum += float32(r * ((history[j+1][k] - history[0][k]) / s.rates[j]))
	}
	return sum
}

// predictor returns the weights of the slopes in UniP. For order 2 the reference sets 1/2 instead
// of solving for it.
func (s *solver) predictor() []float32 {
	switch s.order {
	case 1:
		return nil
	case 2:
		return []float32{0.5}
	}
	return vandermonde(s.rates[:s.order-1], s.b[:s.order-1])
}

// corrector returns the weights in UniC; the last one belongs to the new prediction.
func (s *solver) corrector() []float32 {
	if s.order == 1 {
		return []float32{0.5}
	}
	return vandermonde(s.rates, s.b)
}

// vandermonde solves Σ_k rates_k^i·rho_k = b_i for rho by Gaussian elimination with partial
// pivoting, in float32 like torch.linalg.solve in the reference.
func vandermonde(rates, b []float32) []float32 {
	n := len(rates)
	rows := make([][]float32, n)
	for i := range rows {
		rows[i] = make([]float32, n+1)
		for k, r := range rates {
			rows[i][k] = power(r, i)
		}
		rows[i][n] = b[i]
	}
	for c := range n {
		eliminate(rows, c)
	}
	return substitute(rows)
}

// eliminate clears column c below the diagonal, with the row of the largest value as the pivot.
func eliminate(rows [][]float32, c int) {
	best := c
	for i := c + 1; i < len(rows); i++ {
		if abs(rows[i][c]) > abs(rows[best][c]) {
			best = i
		}
	}
	rows[c], rows[best] = rows[best], rows[c]
	for i := c + 1; i < len(rows); i++ {
		factor := rows[i][c] / rows[c][c]
		for k := c; k < len(rows[i]); k++ {
			rows[i][k] -= float32(factor * rows[c][k])
		}
	}
}

// substitute solves an upper triangular system [n, n+1] from the last row up.
func substitute(rows [][]float32) []float32 {
	n := len(rows)
	x := make([]float32, n)
	for i := n - 1; i >= 0; i-- {
		v := rows[i][n]
		for k := i + 1; k < n; k++ {
			v -= float32(rows[i][k] * x[k])
		}
		x[i] = v / rows[i][i]
	}
	return x
}

// power returns x^n by repeated products, each rounded.
func power(x float32, n int) float32 {
	y := float32(1)
	for range n {
		y *= x
	}
	return y
}

// abs returns the absolute value, which package math has in float64 alone.
func abs(x float32) float32 { return max(x, -x) }
