//! What is trained, as a specification names it: its settings, and how they become a task.

use std::fmt;
use std::path::Path;

use anyhow::{Result, bail};
use autolr_core::optimizer::Flat;
use autolr_core::{Kind, SettingsError};

use super::{LayerKind, Metric, NetworkSpec, Task};
use crate::data::text::{self, Text};
use crate::data::{DataSet, DataSetName, Form, Input, Location, Points, cifar};
use crate::device::DeviceName;

/// The settings of a network, or of a problem without one: the table `[network]`. One file each.
pub trait Network: Clone + fmt::Debug + PartialEq {
    /// What the key `kind` says, and the other keys.
    const KIND: Kind;

    /// What it is fed with.
    const TAKES: Input;

    /// What runs are judged by.
    const METRIC: Metric = Metric::Accuracy;

    /// Whether libtorch computes it, in float32; else it is pure Rust, in float64.
    const USES_LIBTORCH: bool = false;

    /// What no key says alone.
    ///
    /// # Errors
    /// [`SettingsError`] that names the key and the value.
    fn check(&self) -> Result<(), SettingsError> {
        Ok(())
    }

    /// Which kinds of parameters it has.
    fn layer_kinds(&self) -> &'static [LayerKind] {
        &[
            LayerKind::Weights,
            LayerKind::BiasesAndNorms,
            LayerKind::Head,
        ]
    }

    /// Its size in a few words, such as `8`.
    fn size(&self) -> String;

    /// Number of trained parameters on a data set.
    fn parameters(&self, set: DataSetName) -> u64;

    /// The task on its data, at the initial weights for a seed.
    ///
    /// # Errors
    /// When data or device are not there, or libtorch refuses.
    fn open<V: Visitor>(&self, parts: &Parts<'_>, visitor: V) -> Result<V::Output>;
}

/// What is done with a task, whichever it is.
pub trait Visitor {
    /// What comes of it.
    type Output;

    /// Does it.
    ///
    /// # Errors
    /// Its own.
    fn visit<T: Task + 'static>(self, task: T) -> Result<Self::Output>
    where
        anyhow::Error: From<<T::Vector as Flat>::Error>;
}

/// What a task is made of, beside its network.
#[derive(Debug, Clone)]
pub struct Parts<'a> {
    /// Which data.
    pub set: DataSetName,
    /// Training and test examples, where they are drawn.
    pub drawn: (usize, usize),
    /// The file of the data, where a specification names one.
    pub file: Option<&'a Path>,
    /// Whether training images are flipped and rotated.
    pub augment: bool,
    /// Whether images are halved in height and width.
    pub downsample: bool,
    /// Everything random is derived from it.
    pub seed: u64,
    /// Where files lie.
    pub location: &'a Location,
    /// Where libtorch computes.
    pub device: DeviceName,
    /// Threads within an operation of libtorch.
    pub threads: usize,
}

impl Parts<'_> {
    /// Name, training and test points.
    ///
    /// # Errors
    /// If the set has none.
    pub fn points(&self) -> Result<(&'static str, Points, Points)> {
        let Some(Form::Points { name, draw, .. }) = self.set.form(Input::Points) else {
            bail!("{} has no points", self.set);
        };
        let (train, test) = draw(self.seed, self.drawn.0, self.drawn.1);
        Ok((name, train, test))
    }

    /// Training and test images.
    ///
    /// # Errors
    /// [`crate::data::DataError`] if files are not there, or not as they should be.
    pub fn images(&self) -> Result<DataSet> {
        match self.set.form(Input::Images) {
            Some(Form::Files(set)) => Ok(cifar::load(*set, self.location.find(*set)?)?),
            Some(Form::Images(draw)) => Ok(draw(self.seed, self.drawn.0, self.drawn.1)),
            _ => bail!("{} has no images", self.set),
        }
    }

    /// Training and test sequences of `length` symbols.
    ///
    /// # Errors
    /// [`crate::data::DataError`] if the file is not there, or does not have as much text.
    pub fn text(&self, length: usize) -> Result<(Text, Text)> {
        match (self.set.form(Input::Text), self.file) {
            (Some(Form::Text(draw)), _) => Ok(draw(self.seed, self.drawn.0, self.drawn.1, length)),
            (Some(Form::TextFile), Some(file)) => {
                // An absolute path stays as it is.
                let path = self.location.folder.join(file);
                Ok(text::load(&path, self.seed, self.drawn, length)?)
            }
            _ => bail!("{} has no text", self.set),
        }
    }

    /// The device, with libtorch set up for it.
    ///
    /// # Errors
    /// [`crate::exit::BadInput`] if there is no such device.
    #[cfg(feature = "tch")]
    pub fn torch_device(&self) -> Result<tch::Device> {
        let device = match self.device {
            DeviceName::Cpu => autolr_tch::DeviceChoice::Cpu,
            DeviceName::Cuda => autolr_tch::DeviceChoice::Cuda,
            DeviceName::Auto => autolr_tch::DeviceChoice::Auto,
        };
        let device = autolr_tch::select(device).map_err(crate::exit::BadInput::from_error)?;
        tch::set_num_threads(i32::try_from(self.threads).unwrap_or(1).max(1));
        autolr_tch::set_numerics(true, false)?;
        autolr_tch::keep_freed_memory();
        Ok(device)
    }
}

impl NetworkSpec {
    /// Checks that a data set is one that it can be fed with.
    ///
    /// # Errors
    /// What it takes, and which sets have that.
    pub fn check_data(&self, set: DataSetName) -> Result<(), String> {
        let takes = self.takes();
        if set.form(takes).is_some() {
            return Ok(());
        }
        let sets = DataSetName::ALL
            .iter()
            .filter(|set| set.form(takes).is_some());
        let sets: Vec<String> = sets.map(|set| format!("\"{}\"", set.key())).collect();
        let (kind, takes) = (self.kind(), takes.name());
        Err(format!(
            "network.kind = \"{kind}\" takes {takes}: {}",
            sets.join(", ")
        ))
    }
}

/// The modules, the settings of any network, and what goes to each.
macro_rules! networks {
    ($($module:ident: $Name:ident($Settings:ident) = $kind:literal,)+) => {
        $(pub mod $module;)+
        $(pub use $module::$Settings;)+

        /// `[network]`: the settings of any network. The key `kind` says which.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        pub enum NetworkSpec {
            $(
                #[doc = concat!("`kind = \"", $kind, "\"`")]
                #[serde(rename = $kind)]
                $Name($Settings),
            )+
        }

        impl NetworkSpec {
            /// What the key `kind` can be, and the keys of each.
            pub const KINDS: &[Kind] = &[$(<$Settings as Network>::KIND),+];

            /// What each is fed with, by the key `kind`.
            pub const INPUTS: &[(&str, Input)] = &[$(($kind, <$Settings as Network>::TAKES)),+];

            /// What the key `kind` says.
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$Name(_) => $kind),+ }
            }

            /// What it is fed with.
            pub fn takes(&self) -> Input {
                match self { $(Self::$Name(_) => <$Settings as Network>::TAKES),+ }
            }

            /// What runs are judged by.
            pub fn metric(&self) -> Metric {
                match self { $(Self::$Name(_) => <$Settings as Network>::METRIC),+ }
            }

            /// Whether libtorch computes it.
            pub fn uses_libtorch(&self) -> bool {
                match self { $(Self::$Name(_) => <$Settings as Network>::USES_LIBTORCH),+ }
            }

            /// What no key says alone.
            ///
            /// # Errors
            /// [`SettingsError`] that names the key and the value.
            pub fn check(&self) -> Result<(), SettingsError> {
                match self { $(Self::$Name(network) => network.check()),+ }
            }

            /// Which kinds of parameters it has.
            pub fn layer_kinds(&self) -> &'static [LayerKind] {
                match self { $(Self::$Name(network) => network.layer_kinds()),+ }
            }

            /// Its size in a few words, such as `8`.
            pub fn size(&self) -> String {
                match self { $(Self::$Name(network) => network.size()),+ }
            }

            /// Number of trained parameters on a data set.
            pub fn parameters(&self, set: DataSetName) -> u64 {
                match self { $(Self::$Name(network) => network.parameters(set)),+ }
            }

            /// The task on its data, at the initial weights for a seed.
            ///
            /// # Errors
            /// When data or device are not there, or libtorch refuses.
            pub fn open<V: Visitor>(&self, parts: &Parts<'_>, visitor: V) -> Result<V::Output> {
                match self { $(Self::$Name(network) => network.open(parts, visitor)),+ }
            }
        }
    };
}
pub(super) use networks;
