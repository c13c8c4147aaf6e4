package data

import "errors"

// checkViews returns an error for views that do not go with the rest of the
// configuration.
func (c *LoaderConfig) checkViews(masks bool) error {
	switch {
	case c.Views < 0 || c.Views > maxViews:
		return errors.New("data: Views must be 0 to 15, the rows that a batch has of each picture")
	case c.Views < 2 && (c.Second != nil || c.Turned):
		return errors.New("data: Second and Turned need Views of 2 or more")
	case c.Views < 2:
		return nil
	case masks:
		return errors.New("data: Views are for pictures without masks")
	case c.Augment.Mixes() || c.Second.Mixes():
		return errors.New("data: augment: mixup and cutmix mix pictures, which Views do not allow: leave them out")
	case c.Last != Drop || c.SkipBad && !c.Shuffle && !c.Balanced:
		return errors.New("data: Views need full batches: Last must be Drop, and SkipBad needs Shuffle")
	case c.Turned && (c.Views != 4 || c.Second != nil):
		return errors.New("data: Turned needs 4 Views and no Second: they are the first view, turned")
	case c.Turned && c.Preprocess.Width != c.Preprocess.Height:
		return errors.New("data: Turned needs square inputs, Width equal to Height")
	}
	return nil
}

// maxViews is the largest number of views, which the keys of random numbers have room
// for.
const maxViews = 1<<(32-viewShift) - 1

// views returns the number of rows of each picture.
func (l *Loader) views() int { return max(1, l.cfg.Views) }

// augment returns how a view is varied.
func (l *Loader) augment(view int) *Augment {
	if view > 0 && l.cfg.Second != nil {
		return l.cfg.Second
	}
	return l.cfg.Augment
}

// turn writes an input of side x side pixels and c channels to dst, turned by 90 degrees
// counterclockwise.
func turn(dst, src []float32, side, c int) {
	for y := range side {
		for x := range side {
			copy(dst[(y*side+x)*c:(y*side+x+1)*c], src[(x*side+side-1-y)*c:])
		}
	}
}
