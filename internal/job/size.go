package job

import "fmt"

func (m Model) checkSize(s Spec) error {
	w := m.checkSide("width", s.Width, m.SpatialScale*m.Patch[2])
	if w != nil {
		return w
	}
	return m.checkSide("height", s.Height, m.SpatialScale*m.Patch[1])
}

func (m Model) checkSide(field string, v, unit int) error {
	top := SizeLimit - SizeLimit%unit
	if m.MaxPositions > 0 {
		top = min(top, m.MaxPositions*unit)
	}
	if v >= unit && v <= top && v%unit == 0 {
		return nil
	}
	allowed := fmt.Sprintf("a multiple of %d from %d to %d", unit, unit, top)
	if v > unit && v < top {
		allowed += fmt.Sprintf(", nearest %d and %d", v-v%unit, v-v%unit+unit)
	}
	return &FieldError{field, number(v), allowed}
}
