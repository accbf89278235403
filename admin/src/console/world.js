// Places on the drawing of the world: 1000 wide, 500 high, degrees are all of one size.

/** What of the world is shown: all longitudes, from 73 degrees north to 56 south and what is between. */
export const VIEW = { left: 0, top: 24, width: 1000, height: 384 };

/** Where a place lies on the drawing. */
export function project([latitude, longitude]) {
  return [((longitude + 180) * 1000) / 360, ((90 - latitude) * 500) / 180];
}

/** The place at a point of the drawing, to a tenth of a degree. */
export function placeAt(x, y) {
  const round = (value) => Math.round(10 * value) / 10;
  return [round(90 - (y * 180) / 500), round((x * 360) / 1000 - 180)];
}

/** A bent line between two points of the drawing; the short way round, over its rim if need be. */
export function arc([x1, y1], [x2, y2]) {
  const turn = x2 - x1 > 500 ? -1000 : x2 - x1 < -500 ? 1000 : 0;
  const one = (from, to) => {
    const bend = Math.min(60, Math.abs(to - from) / 6 + Math.abs(y2 - y1) / 12);
    return `M${from.toFixed(1)} ${y1.toFixed(1)}Q${((from + to) / 2).toFixed(1)} ${((y1 + y2) / 2 - bend).toFixed(1)} ${to.toFixed(1)} ${y2.toFixed(1)}`;
  };
  return turn === 0 ? one(x1, x2) : one(x1, x2 + turn) + one(x1 - turn, x2);
}
