//! Images that are computed, so that the demo network needs no photos of anybody: each number gives
//! another landscape.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "pixels are counted in thousands and colours in hundreds"
)]

use std::f32::consts::TAU;

use image::ExtendedColorType::Rgb8;
use image::codecs::jpeg::JpegEncoder;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Of 100; the images are made smaller again when they are worked on.
const QUALITY: u8 = 82;
/// How high the lit windows of a skyline are, as a part of the height.
const WINDOW: f32 = 0.012;

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenery {
    Sea,
    Mountains,
    Forest,
    Desert,
    City,
    Sky,
}

/// The shape of an image, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Portrait,
    Square,
    Landscape,
    /// Cheap to make and to work on.
    Small,
}

impl Shape {
    const fn size(self) -> (u32, u32) {
        match self {
            Self::Portrait => (1080, 1350),
            Self::Square => (1080, 1080),
            Self::Landscape => (1350, 1080),
            Self::Small => (320, 320),
        }
    }
}

/// An image by its number.
#[derive(Debug, Clone, Copy)]
pub struct Picture {
    pub number: u64,
    pub scenery: Scenery,
    pub shape: Shape,
}

type Colour = [f32; 3];

/// The colours of a light: the top of the sky, its lower edge, the land far away and near.
type Light = [Colour; 4];

const DAWN: Light = [[92.0, 112.0, 178.0], [255.0, 196.0, 170.0], [190.0, 150.0, 178.0], [58.0, 44.0, 82.0]];
const DAY: Light = [[84.0, 150.0, 214.0], [214.0, 234.0, 244.0], [150.0, 186.0, 204.0], [34.0, 82.0, 92.0]];
const GOLD: Light = [[238.0, 158.0, 88.0], [255.0, 228.0, 164.0], [226.0, 160.0, 100.0], [112.0, 54.0, 36.0]];
const DUSK: Light = [[38.0, 32.0, 86.0], [236.0, 118.0, 108.0], [140.0, 76.0, 124.0], [26.0, 18.0, 48.0]];
const NIGHT: Light = [[8.0, 12.0, 36.0], [44.0, 62.0, 112.0], [38.0, 48.0, 88.0], [8.0, 10.0, 24.0]];
const MIST: Light = [[176.0, 192.0, 196.0], [226.0, 230.0, 222.0], [166.0, 186.0, 176.0], [38.0, 64.0, 54.0]];

/// Some waves added up: the outline of a ridge.
struct Ridge {
    /// The height of the line, from the top, of 1.
    base: f32,
    waves: [(f32, f32, f32); 4],
    /// The width of the blocks that make a skyline out of it; 0 for none.
    block: f32,
    colour: Colour,
}

struct Scene {
    light: Light,
    /// Where the sun or moon stands, and how large it is.
    sun: (f32, f32, f32),
    /// Where the sky ends and water begins; 1 for none.
    water: f32,
    ridges: Vec<Ridge>,
    windows: u32,
}

impl Picture {
    /// The image as a JPEG file. Takes some ten milliseconds of work.
    pub fn jpeg(self) -> Result<Vec<u8>, image::ImageError> {
        let (width, height) = self.shape.size();
        let scene = Scene::draw(self.scenery, &mut StdRng::seed_from_u64(self.number));
        let mut file = Vec::new();
        let pixels = scene.paint(width, height);
        JpegEncoder::new_with_quality(&mut file, QUALITY).encode(&pixels, width, height, Rgb8)?;
        Ok(file)
    }
}

impl Scene {
    fn draw(scenery: Scenery, random: &mut StdRng) -> Self {
        let lights = match scenery {
            Scenery::Sea => [DAWN, DAY, DUSK],
            Scenery::Mountains => [DAWN, DAY, GOLD],
            Scenery::Forest => [MIST, MIST, DAY],
            Scenery::Desert => [GOLD, GOLD, DUSK],
            Scenery::City => [NIGHT, DUSK, NIGHT],
            Scenery::Sky => [DAWN, DUSK, GOLD],
        };
        let mut light = lights[random.random_range(0..lights.len())];
        // So that no two have the same colours.
        for channel in light.iter_mut().flatten() {
            *channel = (*channel + random.random_range(-14.0..14.0)).clamp(0.0, 255.0);
        }
        let (count, rough, block) = match scenery {
            Scenery::Sea => (1, 0.03, 0.0),
            Scenery::Mountains => (5, 0.11, 0.0),
            Scenery::Forest => (4, 0.05, 0.0),
            Scenery::Desert => (3, 0.06, 0.0),
            Scenery::City => (3, 0.12, 0.035),
            Scenery::Sky => (1, 0.02, 0.0),
        };
        let first = if scenery == Scenery::Sky { 0.85 } else { random.random_range(0.42..0.58) };
        let ridges = (0..count).map(|index| Ridge::draw(index, count, first, rough, block, &light, random));
        Self {
            ridges: ridges.collect(),
            sun: (
                random.random_range(0.15..0.85),
                random.random_range(0.14..0.4),
                random.random_range(0.03..0.09),
            ),
            water: if scenery == Scenery::Sea { first + 0.02 } else { 1.0 },
            windows: if scenery == Scenery::City { random.random() } else { 0 },
            light,
        }
    }

    fn paint(&self, width: u32, height: u32) -> Vec<u8> {
        let (wide, high) = (width as f32, height as f32);
        // Once a column: the sines are what costs.
        let columns: Vec<(f32, Vec<f32>)> = (0..width)
            .map(|column| column as f32 / wide)
            .map(|x| (x, self.ridges.iter().map(|ridge| ridge.edge(x)).collect()))
            .collect();
        let mut pixels = Vec::with_capacity(3 * width as usize * height as usize);
        for row in 0..height {
            let y = row as f32 / high;
            for (x, edges) in &columns {
                let [red, green, blue] = self.colour(*x, y, high / wide, edges);
                pixels.extend_from_slice(&[red as u8, green as u8, blue as u8]);
            }
        }
        pixels
    }

    fn colour(&self, x: f32, y: f32, aspect: f32, edges: &[f32]) -> Colour {
        if y >= self.water {
            return self.sea(x, y, aspect);
        }
        let mut index = edges.len();
        while index > 0 {
            index -= 1;
            if y > edges[index] {
                return self.land(index, x, y, edges[index]);
            }
        }
        self.sky(x, y, aspect)
    }

    fn sky(&self, x: f32, y: f32, aspect: f32) -> Colour {
        let plain = mix(self.light[0], self.light[1], (y * 1.7).min(1.0));
        let (across, down) = (x - self.sun.0, (y - self.sun.1) * aspect);
        let distance = (across * across + down * down).sqrt() / self.sun.2;
        let disc = ((1.06 - distance) * 12.0).clamp(0.0, 1.0);
        let glow = 0.55 / (1.0 + distance * distance * 0.35);
        mix(plain, [255.0, 246.0, 224.0], disc.max(glow))
    }

    /// The sky upside down, with waves, and darker towards the shore.
    fn sea(&self, x: f32, y: f32, aspect: f32) -> Colour {
        let depth = (y - self.water) / (1.0 - self.water);
        let wave = ((y * 260.0 / (0.3 + depth)).sin() + (x * 40.0 + y * 90.0).sin()) * 0.012;
        let mirrored = self.sky(x + wave * 2.0, (self.water * (1.0 - depth) + wave).max(0.0), aspect);
        mix(mirrored, self.light[3], 0.22 + 0.5 * depth)
    }

    /// Lighter where mist lies, at the foot of each ridge; lit windows in a skyline.
    fn land(&self, index: usize, x: f32, y: f32, edge: f32) -> Colour {
        let ridge = &self.ridges[index];
        let mist = ((y - edge) * 2.2).clamp(0.0, 0.55);
        let plain = mix(ridge.colour, self.light[1], mist * (1.0 - index as f32 / 5.0).max(0.0) * 0.6);
        if self.windows != 0 && is_window(x, y, ridge.block, self.windows) {
            return mix(plain, [255.0, 214.0, 130.0], 0.3 + 0.2 * index as f32);
        }
        plain
    }
}

impl Ridge {
    fn draw(
        index: usize,
        count: usize,
        first: f32,
        rough: f32,
        block: f32,
        light: &Light,
        random: &mut StdRng,
    ) -> Self {
        let near = (index as f32 + 1.0) / count as f32;
        let waves = [1.0_f32, 2.3, 5.1, 11.0].map(|frequency| {
            let height = rough / frequency.powf(0.9) * random.random_range(0.5..1.0);
            (frequency * random.random_range(0.8..1.25), height, random.random_range(0.0..TAU))
        });
        let base = first + (0.95 - first) * index as f32 / count as f32;
        Self { base, waves, block, colour: mix(light[2], light[3], near) }
    }

    fn edge(&self, x: f32) -> f32 {
        let x = if self.block > 0.0 { (x / self.block).floor() * self.block * 3.7 } else { x };
        let heights =
            self.waves.iter().map(|(frequency, height, phase)| (x * frequency * TAU + phase).sin() * height);
        self.base + heights.sum::<f32>()
    }
}

/// Whether there is a lit window: of a grid over the house fronts, some cells, by a hash of the cell.
fn is_window(x: f32, y: f32, block: f32, salt: u32) -> bool {
    let (column, row) = (x / block * 4.0, y / WINDOW);
    if column.fract() < 0.35 || row.fract() < 0.45 {
        return false;
    }
    let cell = (column as u32).wrapping_mul(0x9E37_79B1) ^ (row as u32).wrapping_mul(0x85EB_CA6B) ^ salt;
    (cell ^ (cell >> 15)).wrapping_mul(0x2C1B_3C6D) >> 29 == 0
}

fn mix(from: Colour, to: Colour, part: f32) -> Colour {
    std::array::from_fn(|channel| from[channel] + (to[channel] - from[channel]) * part)
}
