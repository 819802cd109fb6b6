//! Specifications with one mistake each: none is accepted, and every error names the file, the line and the key.
//!
//! In a case, `#!` marks the line that the error has to name. The snapshot holds every text as a user reads it.

mod support;

use std::fs;
use std::path::Path;

use support::{REFERENCE, autolr};
use tempfile::TempDir;

/// `(old, new, key)`: in the sound specification `old`, which stands there once, is replaced by `new`. The error has to
/// contain `key`.
type Case = (&'static str, &'static str, &'static str);

const RATE: &str = "lr = 0.05";
const FACTORS: &str = "factors = \"factor_3\"";
const AUTOLR: &str = "kind = \"autolr\"\nlr = 0.05\nfactors = \"factor_3\"";
const EPOCHS: &str = "epochs = 6";
const BATCH: &str = "batch_size = 32\ndevice";
const PROBE: &str = "[probe]\nbatch_size = 32";
const SGD: &str = "kind = \"sgd\"";
const IMAGES: &str = "train_images = 800";
const TEST: &str = "test_images = 200";
const SET: &str = "set = \"synthetic\"";
const AUGMENT: &str = "augment = false";
const NETWORK: &str = "kind = \"reference\"\nhidden = 8";
const HIDDEN: &str = "hidden = 8";
const DEVICE: &str = "device = \"cpu\"";
const END: &str = "device = \"cpu\"\n";

const UNKNOWN: &[Case] = &[
    (EPOCHS, "epoch = 6 #!", "`epoch`"),
    (EPOCHS, "epochs = 6\nEpochs = 6 #!", "`Epochs`"),
    (EPOCHS, "epochs = 6\nbatchsize = 3 #!", "`batch_size`"),
    (EPOCHS, "epochs = 6\nrandom_seed = 3 #!", "`random_seed`"),
    (
        EPOCHS,
        "epochs = 6\nlearning_rate = 0.1 #!",
        "`learning_rate`",
    ),
    (
        EPOCHS,
        "epochs = 6\nlr = 0.1 #!",
        "training.lr = 0.1: belongs under [scheduler]",
    ),
    (EPOCHS, "epochs = 6\n\"\" = 1 #!", "training"),
    (EPOCHS, "epochs = 6\n\"a b\" = 1 #!", "`a b`"),
    (EPOCHS, "epochs = 6\n\"a.b\" = 1 #!", "`a.b`"),
    (EPOCHS, "epochs = 6\n\"\\u0000\" = 1 #!", "`\\u{0}`"),
    (EPOCHS, "epochs = 6\n\"\\u202Eshcope\" = 1 #!", "\\u{202e}"),
    (IMAGES, "train_image = 800 #!", "`train_images`"),
    (
        IMAGES,
        "train_images = 800\nvalidation = 0.2 #!",
        "`validation_fraction`",
    ),
    (IMAGES, "train_images = 800\nshuffle = true #!", "`shuffle`"),
    (HIDDEN, "hiden = 8 #!", "`hidden`"),
    (HIDDEN, "hidden = 8\nlayers = 2 #!", "`layers`"),
    (SGD, "kind = \"sgd\"\nmomentun = 0.9 #!", "`momentum`"),
    (SGD, "kind = \"sgd\"\nwd = 0.1 #!", "`wd`"),
    (
        SGD,
        "kind = \"sgd\"\nlr = 0.1 #!",
        "optimizer.lr = 0.1: belongs under [scheduler]",
    ),
    (SGD, "kind = \"adamw\"\nbetas = [0.9, 0.99] #!", "`beta1`"),
    (PROBE, "[probe]\nbatchsize = 32 #!", "`batch_size`"),
    (PROBE, "[probe]\nhorizon = 1 #!", "`horizon`"),
    (FACTORS, "factors = [1]\nfactor = [1] #!", "factor"),
    (FACTORS, "factors = [1]\nsharpnes = 1 #!", "`sharpness`"),
    (
        FACTORS,
        "factors = [1]\nnormalisation = \"none\" #!",
        "`normalization`",
    ),
    (
        FACTORS,
        "factors = [1]\nunit = \"hour\" #!",
        "scheduler.unit = \"hour\"",
    ),
    (FACTORS, "factors = [1]\nunit = 1 #!", "scheduler.unit = 1"),
    (
        EPOCHS,
        "epochs = 6\nbudget = 500 #!",
        "training.budget = 500",
    ),
    (EPOCHS, "epochs = 6\nbudget = \"500\" #!", "\"500 steps\""),
    (
        EPOCHS,
        "epochs = 6\nbudget = \"0 steps\" #!",
        "at least one step",
    ),
    (EPOCHS, "epochs = 6\nbudget = \"-1 epochs\" #!", "positive"),
    (
        EPOCHS,
        "epochs = 6\nbudget = \"0.01 epochs\" #!",
        "less than one of the",
    ),
    (FACTORS, "factors = [1]\ngroups = [1] #!", "`groups`"),
    ("[training]", "[trainig] #!", "`training`"),
    ("[data]", "[dataset] #!", "`dataset`"),
    ("[probe]", "[probes] #!", "`probe`"),
    (
        END,
        "device = \"cpu\"\n[sheduler] #!\nlr = 1\n",
        "`scheduler`",
    ),
    (END, "device = \"cpu\"\n[model] #!\n", "`model`"),
    (END, "device = \"cpu\"\n[training.extra] #!\n", "`extra`"),
    (END, "device = \"cpu\"\n[scheduler.inner] #!\n", "`inner`"),
    ("[data]", "epochs = 3 #!\n[data]", "[training]"),
    ("[data]", "lr = 3 #!\n[data]", "[scheduler]"),
    ("[data]", "momentum = 0.9 #!\n[data]", "[optimizer]"),
    ("[data]", "name = \"x\" #!\n[data]", "`name`"),
    ("[data]", "titel = \"x\" #!\n[data]", "`title`"),
    ("[data]", "seeds = [1, 2] #!\n[data]", "seeds"),
];

/// Keys that another kind of the same table has.
const OTHER_KIND: &[Case] = &[
    (
        FACTORS,
        "factors = [1]\ngamma = 0.5 #!",
        "scheduler.gamma = 0.5",
    ),
    (
        FACTORS,
        "factors = [1]\nt_max = 9 #!",
        "scheduler.t_max = 9",
    ),
    (
        FACTORS,
        "factors = [1]\nschedules = [] #!",
        "scheduler.schedules",
    ),
    (
        AUTOLR,
        "kind = \"step\"\nlr = 0.05\nstep_size = 3\nt_max = 9 #!",
        "scheduler.t_max = 9",
    ),
    (
        AUTOLR,
        "kind = \"cosine\"\nlr = 0.05\nfactors = [1] #!",
        "scheduler.factors = [1]",
    ),
    (
        AUTOLR,
        "kind = \"fixed\"\nlr = 0.05\nsharpness = 1 #!",
        "scheduler.sharpness = 1",
    ),
    (
        AUTOLR,
        "kind = \"one-cycle\"\nlr = 0.05 #!\nmax_lr = 1",
        "scheduler.lr = 0.05",
    ),
    (
        AUTOLR,
        "kind = \"exponential\"\nlr = 0.05\ngamma = 0.9\nmilestones = [3] #!",
        "scheduler.milestones",
    ),
    (
        AUTOLR,
        "kind = \"constant\"\nlr = 0.05\neta_min = 0.1 #!",
        "scheduler.eta_min = 0.1",
    ),
    (HIDDEN, "hidden = 8\nwidth = 8 #!", "network.width = 8"),
    (
        HIDDEN,
        "hidden = 8\nbatch_norm = true #!",
        "network.batch_norm = true",
    ),
    (
        NETWORK,
        "kind = \"resnet18\"\nhidden = 8 #!",
        "network.hidden = 8",
    ),
    (
        SGD,
        "kind = \"sgd\"\nbeta1 = 0.9 #!",
        "optimizer.beta1 = 0.9",
    ),
    (SGD, "kind = \"sgd\"\neps = 1e-8 #!", "optimizer.eps"),
    (
        SGD,
        "kind = \"adamw\"\nmomentum = 0.9 #!",
        "optimizer.momentum = 0.9",
    ),
    (
        SGD,
        "kind = \"adamw\"\nnesterov = true #!",
        "optimizer.nesterov = true",
    ),
];

const MISSING: &[Case] = &[
    (
        "[data]\nset = \"synthetic\"\n",
        "[data] #!\n",
        "data.set: missing",
    ),
    (
        "[training]\nepochs = 6",
        "[training] #!",
        "training.epochs: missing",
    ),
    (
        "[network]\nkind = \"reference\"",
        "[network] #!",
        "network.kind: missing",
    ),
    (
        "[optimizer]\nkind = \"sgd\"",
        "[optimizer] #!",
        "optimizer.kind: missing",
    ),
    (
        "[optimizer]\nkind = \"sgd\"",
        "[optimizer] #!\nmomentum = 0.9",
        "optimizer.kind: missing",
    ),
    (
        "[scheduler]\nkind = \"autolr\"",
        "[scheduler] #!",
        "scheduler.kind: missing",
    ),
    (
        "[scheduler]\nkind = \"autolr\"\nlr = 0.05",
        "[scheduler] #!\nkind = \"autolr\"",
        "scheduler.lr: missing",
    ),
    (
        "[scheduler]\nkind = \"autolr\"\nlr = 0.05\nfactors = \"factor_3\"",
        "[scheduler] #!\nkind = \"autolr\"\nlr = 1",
        "scheduler.factors: missing",
    ),
    (
        "[scheduler]\nkind = \"autolr\"\nlr = 0.05\nfactors = \"factor_3\"",
        "[scheduler] #!\nkind = \"fixed\"",
        "scheduler.lr: missing",
    ),
    (
        "[scheduler]\nkind = \"autolr\"\nlr = 0.05\nfactors = \"factor_3\"",
        "[scheduler] #!\nkind = \"step\"\nlr = 1",
        "scheduler.step_size: missing",
    ),
    (
        "[scheduler]\nkind = \"autolr\"\nlr = 0.05\nfactors = \"factor_3\"",
        "[scheduler] #!\nkind = \"multi-step\"\nlr = 1",
        "scheduler.milestones: missing",
    ),
    (
        "[scheduler]\nkind = \"autolr\"\nlr = 0.05\nfactors = \"factor_3\"",
        "[scheduler] #!\nkind = \"exponential\"\nlr = 1",
        "scheduler.gamma: missing",
    ),
    (
        "[scheduler]\nkind = \"autolr\"\nlr = 0.05\nfactors = \"factor_3\"",
        "[scheduler] #!\nkind = \"one-cycle\"",
        "scheduler.max_lr: missing",
    ),
    (
        "[scheduler]\nkind = \"autolr\"\nlr = 0.05\nfactors = \"factor_3\"",
        "[scheduler] #!\nkind = \"warm-up\"\nsteps = 3",
        "scheduler.schedule: missing",
    ),
    (
        "[scheduler]\nkind = \"autolr\"\nlr = 0.05\nfactors = \"factor_3\"",
        "[scheduler] #!\nkind = \"product\"",
        "scheduler.schedules: missing",
    ),
    (
        "\n[training]\nepochs = 6\nbatch_size = 32\ndevice = \"cpu\"\n",
        "#!\n",
        "[training]",
    ),
    (
        AUTOLR,
        "kind = \"warm-up\"\nsteps = 3\nschedule = {} #!",
        "scheduler.schedule.kind: missing",
    ),
    (
        AUTOLR,
        "kind = \"warm-up\"\nsteps = 3\nschedule = { kind = \"fixed\" } #!",
        "scheduler.schedule.lr: missing",
    ),
    (
        AUTOLR,
        "kind = \"product\"\nschedules = [\n  { kind = \"fixed\", lr = 1 },\n  { kind = \"step\", lr = 1 }, #!\n]",
        "scheduler.schedules[1].step_size: missing",
    ),
];

const TYPES: &[Case] = &[
    (EPOCHS, "epochs = \"six\" #!", "training.epochs = \"six\""),
    (EPOCHS, "epochs = \"6\" #!", "training.epochs = \"6\""),
    (EPOCHS, "epochs = 2.5 #!", "training.epochs = 2.5"),
    (EPOCHS, "epochs = 6.0 #!", "training.epochs = 6.0"),
    (EPOCHS, "epochs = true #!", "training.epochs = true"),
    (EPOCHS, "epochs = [6] #!", "training.epochs = [6]"),
    (EPOCHS, "epochs = {} #!", "training.epochs"),
    (EPOCHS, "epochs = nan #!", "training.epochs = nan"),
    (EPOCHS, "epochs = inf #!", "training.epochs = inf"),
    (
        EPOCHS,
        "epochs = 2020-01-01 #!",
        "training.epochs = 2020-01-01",
    ),
    (EPOCHS, "epochs = 6\nseed = 0.5 #!", "training.seed = 0.5"),
    (
        EPOCHS,
        "epochs = 6\nseed = \"0\" #!",
        "training.seed = \"0\"",
    ),
    (
        EPOCHS,
        "epochs = 6\nseed = [0, 1] #!",
        "training.seed = [0, 1]",
    ),
    (
        BATCH,
        "batch_size = \"32\" #!\ndevice",
        "training.batch_size",
    ),
    (BATCH, "batch_size = 32.0 #!\ndevice", "training.batch_size"),
    (DEVICE, "device = 0 #!", "training.device = 0"),
    (DEVICE, "device = true #!", "training.device = true"),
    (RATE, "lr = \"fast\" #!", "scheduler.lr = \"fast\""),
    (RATE, "lr = \"0.05\" #!", "scheduler.lr = \"0.05\""),
    (RATE, "lr = true #!", "scheduler.lr = true"),
    (RATE, "lr = [0.05] #!", "scheduler.lr = [0.05]"),
    (RATE, "lr = { value = 1 } #!", "scheduler.lr"),
    (RATE, "lr = \"a\\nb\" #!", "scheduler.lr"),
    (FACTORS, "factors = 3 #!", "scheduler.factors = 3"),
    (FACTORS, "factors = true #!", "scheduler.factors = true"),
    (FACTORS, "factors = [1, \"2\"] #!", "scheduler.factors"),
    (FACTORS, "factors = [[1, 2]] #!", "scheduler.factors"),
    (FACTORS, "factors = {} #!", "scheduler.factors"),
    (
        FACTORS,
        "factors = [1]\nsharpness = \"1\" #!",
        "scheduler.sharpness",
    ),
    (
        FACTORS,
        "factors = [1]\nevery = 1.5 #!",
        "scheduler.every = 1.5",
    ),
    (
        FACTORS,
        "factors = [1]\nedge_probes = true #!",
        "scheduler.edge_probes",
    ),
    (
        FACTORS,
        "factors = [1]\nnormalization = 1 #!",
        "scheduler.normalization = 1",
    ),
    (
        FACTORS,
        "factors = [1]\nbase = \"cosine\" #!",
        "scheduler.base = \"cosine\"",
    ),
    (AUTOLR, "kind = 3 #!\nlr = 1", "scheduler.kind = 3"),
    (AUTOLR, "kind = [\"fixed\"] #!\nlr = 1", "scheduler.kind"),
    (
        AUTOLR,
        "kind = \"multi-step\"\nlr = 1\nmilestones = 30 #!",
        "scheduler.milestones = 30",
    ),
    (
        AUTOLR,
        "kind = \"multi-step\"\nlr = 1\nmilestones = [3.5] #!",
        "scheduler.milestones = [3.5]",
    ),
    (
        AUTOLR,
        "kind = \"multi-step\"\nlr = 1\nmilestones = \"30,80\" #!",
        "scheduler.milestones",
    ),
    (
        AUTOLR,
        "kind = \"product\"\nschedules = { kind = \"fixed\", lr = 1 } #!",
        "scheduler.schedules",
    ),
    (
        AUTOLR,
        "kind = \"product\"\nschedules = [1] #!",
        "scheduler.schedules",
    ),
    (
        AUTOLR,
        "kind = \"one-cycle\"\nmax_lr = 1\nthree_phase = 1 #!",
        "scheduler.three_phase = 1",
    ),
    (
        AUTOLR,
        "kind = \"one-cycle\"\nmax_lr = 1\nanneal_strategy = true #!",
        "scheduler.anneal_strategy",
    ),
    (AUGMENT, "augment = 0 #!", "data.augment = 0"),
    (
        AUGMENT,
        "augment = \"false\" #!",
        "data.augment = \"false\"",
    ),
    (
        AUGMENT,
        "augment = false\ndrop_last = 1 #!",
        "data.drop_last = 1",
    ),
    (IMAGES, "train_images = 8e2 #!", "data.train_images = 800.0"),
    (
        IMAGES,
        "train_images = \"all\" #!",
        "data.train_images = \"all\"",
    ),
    (
        IMAGES,
        "validation_fraction = \"20 %\" #!",
        "data.validation_fraction",
    ),
    (SET, "set = 10 #!", "data.set = 10"),
    (SET, "set = [\"synthetic\"] #!", "data.set"),
    (HIDDEN, "hidden = 8.5 #!", "network.hidden = 8.5"),
    (HIDDEN, "hidden = \"8\" #!", "network.hidden = \"8\""),
    (
        SGD,
        "kind = \"sgd\"\nmomentum = \"0.9\" #!",
        "optimizer.momentum",
    ),
    (
        SGD,
        "kind = \"sgd\"\nnesterov = \"yes\" #!",
        "optimizer.nesterov",
    ),
    (
        SGD,
        "kind = \"sgd\"\nweight_decay = false #!",
        "optimizer.weight_decay",
    ),
    (
        PROBE,
        "[probe]\nbatch_size = true #!",
        "probe.batch_size = true",
    ),
    (PROBE, "[probe]\nbatches = 1 #!", "probe.batches = 1"),
    ("[data]", "title = 3 #!\n[data]", "title = 3"),
    ("[data]", "description = [\"x\"] #!\n[data]", "description"),
    (
        "[data]\nset = \"synthetic\"\ntrain_images = 800\ntest_images = 200\naugment = false\n",
        "data = \"synthetic\" #!\n",
        "data = \"synthetic\"",
    ),
    (
        "[optimizer]\nkind = \"sgd\"",
        "[[optimizer]] #!\nkind = \"sgd\"",
        "optimizer",
    ),
];

const NAMES: &[Case] = &[
    (SET, "set = \"cifar-10\" #!", "data.set"),
    (SET, "set = \"CIFAR10\" #!", "data.set"),
    (SET, "set = \"imagenet\" #!", "data.set = \"imagenet\""),
    (SET, "set = \"\" #!", "data.set = \"\""),
    (SET, "set = \" synthetic\" #!", "data.set"),
    (IMAGES, "split = \"random\" #!", "data.split = \"random\""),
    (IMAGES, "split = \"independant\" #!", "data.split"),
    (
        NETWORK,
        "kind = \"vgg\" #!",
        "network.kind: unknown network `vgg`",
    ),
    (NETWORK, "kind = \"resnet-18\" #!", "network.kind"),
    (NETWORK, "kind = \"resnet50\" #!", "network.kind"),
    (SGD, "kind = \"adam\" #!", "optimizer.kind"),
    (SGD, "kind = \"SGD\" #!", "optimizer.kind"),
    (SGD, "kind = \"rmsprop\" #!", "optimizer.kind"),
    (AUTOLR, "kind = \"cosin\" #!\nlr = 1", "`cosine`"),
    (AUTOLR, "kind = \"StepLR\" #!\nlr = 1", "`step`"),
    (AUTOLR, "kind = \"adaptive\" #!\nlr = 1", "`adaptive`"),
    (AUTOLR, "kind = \"auto_lr\" #!\nlr = 1", "`autolr`"),
    (AUTOLR, "kind = \"plateau\" #!\nlr = 1", "`plateau`"),
    (AUTOLR, "kind = \"\" #!\nlr = 1", "scheduler.kind"),
    (
        FACTORS,
        "factors = \"factor_4\" #!",
        "scheduler.factors = \"factor_4\"",
    ),
    (FACTORS, "factors = \"factor_103\" #!", "scheduler.factors"),
    (FACTORS, "factors = \"factor5\" #!", "scheduler.factors"),
    (FACTORS, "factors = \"factor_-5\" #!", "scheduler.factors"),
    (FACTORS, "factors = \"\" #!", "scheduler.factors"),
    (
        FACTORS,
        "factors = [1]\nnormalization = \"zscore\" #!",
        "scheduler.normalization",
    ),
    (
        FACTORS,
        "factors = [1]\nnormalization = \"softmax\" #!",
        "scheduler.normalization",
    ),
    (
        FACTORS,
        "factors = [1]\nnon_finite = \"ignore\" #!",
        "scheduler.non_finite",
    ),
    (
        FACTORS,
        "factors = [1]\nall_non_finite = \"stop\" #!",
        "scheduler.all_non_finite",
    ),
    (
        AUTOLR,
        "kind = \"one-cycle\"\nmax_lr = 1\nanneal_strategy = \"cosine\" #!",
        "scheduler.anneal_strategy",
    ),
    (PROBE, "[probe]\nloss = \"after\" #!", "probe.loss"),
    (PROBE, "[probe]\nbatches = \"one\" #!", "probe.batches"),
    (
        PROBE,
        "[probe]\ngradient = \"training\" #!",
        "probe.gradient",
    ),
    (DEVICE, "device = \"gpu\" #!", "training.device"),
    (DEVICE, "device = \"cuda:1\" #!", "training.device"),
    (
        DEVICE,
        "device = \"cpu\"\ntested_checkpoint = \"best\" #!",
        "training.tested_checkpoint",
    ),
    (
        DEVICE,
        "device = \"cpu\"\nbatch_norm_after_validation = \"train\" #!",
        "training.batch_norm_after_validation",
    ),
];

const RANGES: &[Case] = &[
    (RATE, "lr = 0 #!", "scheduler.lr = 0"),
    (RATE, "lr = -0.0 #!", "scheduler.lr = -0"),
    (RATE, "lr = -0.05 #!", "scheduler.lr = -0.05"),
    (RATE, "lr = nan #!", "scheduler.lr = NaN"),
    (RATE, "lr = -nan #!", "scheduler.lr = NaN"),
    (RATE, "lr = inf #!", "scheduler.lr = inf"),
    (RATE, "lr = -inf #!", "scheduler.lr = -inf"),
    (RATE, "lr = 1e-400 #!", "scheduler.lr = 0"),
    (RATE, "lr = 1e400 #!", "lr"),
    (
        FACTORS,
        "factors = [1, nan] #!",
        "scheduler.factors[1] = NaN",
    ),
    (FACTORS, "factors = [0, 1] #!", "scheduler.factors[0] = 0"),
    (
        FACTORS,
        "factors = [\n  2,\n  1,\n  -0.5, #!\n]",
        "scheduler.factors[2] = -0.5",
    ),
    (FACTORS, "factors = [inf] #!", "scheduler.factors[0] = inf"),
    (FACTORS, "factors = [] #!", "scheduler.factors = []"),
    (
        FACTORS,
        "factors = [1]\nsharpness = nan #!",
        "scheduler.sharpness = NaN",
    ),
    (
        FACTORS,
        "factors = [1]\nsharpness = -1 #!",
        "scheduler.sharpness = -1",
    ),
    (
        FACTORS,
        "factors = [1]\nsharpness = inf #!",
        "scheduler.sharpness = inf",
    ),
    (
        FACTORS,
        "factors = [1]\nevery = 0 #!",
        "scheduler.every = 0",
    ),
    (
        FACTORS,
        "factors = [1]\nevery = -1 #!",
        "scheduler.every = -1",
    ),
    (
        FACTORS,
        "factors = [1]\nedge_probes = -1 #!",
        "scheduler.edge_probes = -1",
    ),
    (
        FACTORS,
        "factors = [1]\nmin_lr = -1 #!",
        "scheduler.min_lr = -1",
    ),
    (
        FACTORS,
        "factors = [1]\nmax_lr = 0 #!",
        "scheduler.max_lr = 0",
    ),
    (
        FACTORS,
        "factors = [1]\nmin_lr = nan #!",
        "scheduler.min_lr = NaN",
    ),
    (
        AUTOLR,
        "kind = \"cosine\"\nlr = nan #!",
        "scheduler.lr = NaN",
    ),
    (
        AUTOLR,
        "kind = \"cosine\"\nlr = 1\nt_max = 0 #!",
        "scheduler.t_max = 0",
    ),
    (
        AUTOLR,
        "kind = \"cosine\"\nlr = 1\neta_min = -1 #!",
        "scheduler.eta_min = -1",
    ),
    (
        AUTOLR,
        "kind = \"constant\"\nlr = 0.05\nfactor = nan #!",
        "scheduler.factor = NaN",
    ),
    (
        AUTOLR,
        "kind = \"constant\"\nlr = 0.05\nfactor = 2 #!",
        "scheduler.factor = 2",
    ),
    (
        AUTOLR,
        "kind = \"linear\"\nlr = 0.05\nstart_factor = 0 #!",
        "scheduler.start_factor = 0",
    ),
    (
        AUTOLR,
        "kind = \"linear\"\nlr = 0.05\nend_factor = -1 #!",
        "scheduler.end_factor = -1",
    ),
    (
        AUTOLR,
        "kind = \"linear\"\nlr = 0.05\ntotal_iters = 0 #!",
        "scheduler.total_iters = 0",
    ),
    (
        AUTOLR,
        "kind = \"step\"\nlr = 0.05\nstep_size = 0 #!",
        "scheduler.step_size = 0",
    ),
    (
        AUTOLR,
        "kind = \"step\"\nlr = 0.05\nstep_size = 3\ngamma = -1 #!",
        "scheduler.gamma = -1",
    ),
    (
        AUTOLR,
        "kind = \"exponential\"\nlr = 0.05\ngamma = inf #!",
        "scheduler.gamma = inf",
    ),
    (
        AUTOLR,
        "kind = \"multi-step\"\nlr = 1\nmilestones = [-3] #!",
        "scheduler.milestones = [-3]",
    ),
    (
        AUTOLR,
        "kind = \"polynomial\"\nlr = 1\npower = -1 #!",
        "scheduler.power = -1",
    ),
    (
        AUTOLR,
        "kind = \"one-cycle\"\nmax_lr = 1\npct_start = 2 #!",
        "scheduler.pct_start = 2",
    ),
    (
        AUTOLR,
        "kind = \"one-cycle\"\nmax_lr = 1\ndiv_factor = 0 #!",
        "scheduler.div_factor = 0",
    ),
    (
        AUTOLR,
        "kind = \"cosine-warm-restarts\"\nlr = 1\nt_0 = 0 #!",
        "scheduler.t_0 = 0",
    ),
    (
        AUTOLR,
        "kind = \"cosine-warm-restarts\"\nlr = 1\nt_0 = 3\nt_mult = 0 #!",
        "scheduler.t_mult = 0",
    ),
    (
        AUTOLR,
        "kind = \"warm-up\"\nsteps = 0 #!\nschedule = { kind = \"fixed\", lr = 1 }",
        "scheduler.steps = 0",
    ),
    (
        AUTOLR,
        "kind = \"warm-up\"\nsteps = 3\nschedule = { kind = \"fixed\", lr = 0 } #!",
        "scheduler.schedule.lr = 0",
    ),
    (EPOCHS, "epochs = 0 #!", "training.epochs = 0"),
    (EPOCHS, "epochs = -1 #!", "training.epochs = -1"),
    (EPOCHS, "epochs = 1_000_001 #!", "training.epochs = 1000001"),
    (
        EPOCHS,
        "epochs = 4294967296 #!",
        "training.epochs = 4294967296",
    ),
    (EPOCHS, "epochs = 9223372036854775807 #!", "training.epochs"),
    (EPOCHS, "epochs = 9223372036854775808 #!", "epochs"),
    (EPOCHS, "epochs = 6\nseed = -1 #!", "training.seed = -1"),
    (EPOCHS, "epochs = 6\nseed = 18446744073709551615 #!", "seed"),
    (
        BATCH,
        "batch_size = 0 #!\ndevice",
        "training.batch_size = 0",
    ),
    (
        BATCH,
        "batch_size = -32 #!\ndevice",
        "training.batch_size = -32",
    ),
    (
        BATCH,
        "batch_size = 100001 #!\ndevice",
        "training.batch_size = 100001",
    ),
    (IMAGES, "train_images = 0 #!", "data.train_images = 0"),
    (IMAGES, "train_images = -5 #!", "data.train_images = -5"),
    (
        IMAGES,
        "train_images = 1000001 #!",
        "data.train_images = 1000001",
    ),
    (
        IMAGES,
        "train_images = 800\nvalidation_fraction = 0 #!",
        "data.validation_fraction = 0",
    ),
    (
        IMAGES,
        "train_images = 800\nvalidation_fraction = 1 #!",
        "data.validation_fraction = 1",
    ),
    (
        IMAGES,
        "train_images = 800\nvalidation_fraction = -0.2 #!",
        "data.validation_fraction = -0.2",
    ),
    (
        IMAGES,
        "train_images = 800\nvalidation_fraction = 20 #!",
        "data.validation_fraction = 20",
    ),
    (
        IMAGES,
        "train_images = 800\nvalidation_fraction = nan #!",
        "data.validation_fraction = NaN",
    ),
    (
        IMAGES,
        "train_images = 800\nvalidation_fraction = inf #!",
        "data.validation_fraction = inf",
    ),
    (PROBE, "[probe]\nbatch_size = 0 #!", "probe.batch_size = 0"),
    (
        PROBE,
        "[probe]\nbatch_size = -1 #!",
        "probe.batch_size = -1",
    ),
    (HIDDEN, "hidden = 0 #!", "network.hidden = 0"),
    (HIDDEN, "hidden = 4097 #!", "network.hidden = 4097"),
    (HIDDEN, "hidden = -8 #!", "network.hidden = -8"),
    (
        NETWORK,
        "kind = \"resnet18\"\nwidth = 0 #!",
        "network.width = 0",
    ),
    (
        NETWORK,
        "kind = \"resnet18\"\nwidth = 1025 #!",
        "network.width = 1025",
    ),
    (
        SGD,
        "kind = \"sgd\"\nmomentum = 1 #!",
        "optimizer.momentum = 1",
    ),
    (
        SGD,
        "kind = \"sgd\"\nmomentum = -0.1 #!",
        "optimizer.momentum = -0.1",
    ),
    (
        SGD,
        "kind = \"sgd\"\nmomentum = nan #!",
        "optimizer.momentum = NaN",
    ),
    (
        SGD,
        "kind = \"sgd\"\nweight_decay = -1e-4 #!",
        "optimizer.weight_decay",
    ),
    (
        SGD,
        "kind = \"adamw\"\nweight_decay = inf #!",
        "optimizer.weight_decay = inf",
    ),
    (SGD, "kind = \"adamw\"\nbeta1 = 1 #!", "optimizer.beta1 = 1"),
    (
        SGD,
        "kind = \"adamw\"\nbeta2 = 1.5 #!",
        "optimizer.beta2 = 1.5",
    ),
    (SGD, "kind = \"adamw\"\neps = -1e-8 #!", "optimizer.eps"),
];

const COMBINATIONS: &[Case] = &[
    (
        SGD,
        "kind = \"sgd\"\nnesterov = true #!",
        "optimizer.nesterov",
    ),
    (SET, "set = \"cifar10\" #!", "data.set"),
    (AUGMENT, "augment = true #!", "data.augment = true"),
    (
        "[data]\nset = \"synthetic\"\ntrain_images = 800\ntest_images = 200\naugment = false",
        "[data] #!\nset = \"synthetic\"\ntrain_images = 800",
        "data.augment = true",
    ),
    (DEVICE, "device = \"cuda\" #!", "training.device"),
    (
        BATCH,
        "batch_size = 161 #!\ndevice",
        "training.batch_size = 161",
    ),
    (IMAGES, "train_images = 31 #!", "data.train_images = 31"),
    (TEST, "test_images = 31 #!", "data.test_images = 31"),
    (
        PROBE,
        "[probe]\nbatch_size = 641 #!",
        "probe.batch_size = 641",
    ),
    (
        IMAGES,
        "train_images = 800\nvalidation_fraction = 1e-9 #!",
        "data.validation_fraction",
    ),
    (
        IMAGES,
        "train_images = 800\nvalidation_fraction = 0.9999 #!",
        "data.validation_fraction",
    ),
    (
        FACTORS,
        "factors = [1]\nmin_lr = 1 #!\nmax_lr = 0.5",
        "scheduler.min_lr = 1",
    ),
    (
        AUTOLR,
        "kind = \"autolr\"\nlr = 0.05 #!\nfactors = [1]\nmax_lr = 0.01",
        "scheduler.lr = 0.05",
    ),
    (
        AUTOLR,
        "kind = \"autolr\"\nlr = 0.05 #!\nfactors = [1]\nbase = { kind = \"fixed\", lr = 1 }",
        "scheduler.lr: not beside `base`",
    ),
    (
        AUTOLR,
        "kind = \"autolr\"\nfactors = [1]\nbase = { kind = \"autolr\", lr = 1 } #!",
        "scheduler.base.kind",
    ),
    (
        AUTOLR,
        "kind = \"warm-up\"\nsteps = 3\nschedule = { kind = \"autolr\", lr = 1 } #!",
        "scheduler.schedule.kind",
    ),
    (
        AUTOLR,
        "kind = \"product\"\nschedules = [{ kind = \"step\", lr = 1, gama = 2 }] #!",
        "scheduler.schedules[0]",
    ),
    (AUTOLR, "kind = \"product\"\nschedules = [] #!", "schedules"),
    (
        AUTOLR,
        "kind = \"sequential\"\nmilestones = [3] #!\nschedules = [{ kind = \"fixed\", lr = 1 }]",
        "milestones",
    ),
    (
        AUTOLR,
        "kind = \"sequential\"\nmilestones = [5, 3] #!\nschedules = [{ kind = \"fixed\", lr = 1 }, { kind = \"fixed\", lr = 1 }, { kind = \"fixed\", lr = 1 }]",
        "milestones",
    ),
    (
        AUTOLR,
        "kind = \"product\"\nschedules = [\n  { kind = \"fixed\", lr = 1 },\n  { kind = \"fixed\", lr = -1 }, #!\n]",
        "scheduler.schedules[1].lr = -1",
    ),
];

const TOML: &[Case] = &[
    (HIDDEN, "hidden = = 8 #!", "`hidden = = 8"),
    (HIDDEN, "hidden = 8\nhidden = 9 #!", "duplicate key"),
    (HIDDEN, "hidden = 8\n\"hidden\" = 9 #!", "duplicate key"),
    (HIDDEN, "hidden #!", "`hidden"),
    (HIDDEN, "hidden = #!", "`hidden ="),
    (HIDDEN, "hidden: 8 #!", "`hidden: 8"),
    (HIDDEN, "hidden = 8; #!", "`hidden = 8;"),
    (HIDDEN, "hidden = 08 #!", "`hidden = 08"),
    (HIDDEN, "hidden = 8 8 #!", "`hidden = 8 8"),
    (HIDDEN, "hidden = 0x #!", "network.hidden = 0x"),
    (HIDDEN, "hidden = eight #!", "`hidden = eight"),
    (HIDDEN, "hidden = True #!", "`hidden = True"),
    (HIDDEN, "hidden = 1,5 #!", "`hidden = 1,5"),
    (HIDDEN, "hidden = 1__0 #!", "`hidden = 1__0"),
    (HIDDEN, "hidden = None #!", "`hidden = None"),
    (HIDDEN, "hidden = \"8 #!", "`hidden = \"8"),
    (HIDDEN, "hidden = '8 #!", "`hidden = '8"),
    (HIDDEN, "hidden = \"\\q\" #!", "`hidden = \"\\q\""),
    (HIDDEN, "hidden = \"\\uD800\" #!", "`hidden"),
    (
        "hidden = 8\n\n[optimizer]",
        "hidden = [8\n\n[optimizer] #!",
        "`[optimizer]",
    ),
    (
        "hidden = 8\n\n[optimizer]",
        "hidden = { a = 8\n\n[optimizer] #!",
        "`[optimizer]",
    ),
    (HIDDEN, "hidden = 8\n= 3 #!", "= 3"),
    (HIDDEN, "hidden = 8\n// a comment #!", "// a comment"),
    (HIDDEN, "hidden = 8\u{7} #!", "\\u{7}"),
    ("[network]", "[network #!", "`[network"),
    ("[network]", "[network]] #!", "`[network]]"),
    ("[network]", "[] #!", "`[]"),
    ("[network]", "[net work] #!", "`[net work]"),
    (
        "[network]",
        "[network]\nkind = \"reference\"\n[network] #!",
        "duplicate",
    ),
    (
        "[training]",
        "[data.training] #!",
        "data.training: a table of its own",
    ),
    (END, "device = \"cpu\"\n[data] #!\n", "duplicate"),
    (END, "device = \"cpu\"\n[training.epochs] #!\n", "epochs"),
    (END, "device = \"cpu\"\ndata.set = \"cifar10\" #!\n", "data"),
];

/// Series, after the tables.
const SERIES: &[&[&str]] = &[
    &["[[series]] #!\nlabel = \"x\"\n", "series.name: missing"],
    &["[[series]]\nname = 3 #!\n", "series.name = 3"],
    &["[[series]]\nname = \"\" #!\n", "series.name = \"\""],
    &["[[series]]\nname = \"../x\" #!\n", "series.name"],
    &["[[series]]\nname = \"a b\" #!\n", "series.name = \"a b\""],
    &["[[series]]\nname = \"a/b\" #!\n", "series.name"],
    &["[[series]]\nname = \"é\" #!\n", "series.name"],
    &["[[series]]\nname = \"a\\u0000\" #!\n", "series.name"],
    &["[[series]]\nname = \"\\u202Eabc\" #!\n", "\\u{202e}"],
    &["[[series]]\nname = \"=1+1\" #!\n", "series.name"],
    &["[[series]]\nname = \"<b>\" #!\n", "series.name"],
    &[
        "[[series]]\nname = \"one\"\n[[series]]\nname = \"one\" #!\n",
        "series.name = \"one\"",
    ],
    &[
        "[[series]]\nname = \"one\"\nlabel = 3 #!\n",
        "series.label = 3",
    ],
    &[
        "[[series]]\nname = \"one\"\n[series.scheduler]\nlr = 0 #!\n",
        "series \"one\": scheduler.lr = 0",
    ],
    &[
        "[[series]]\nname = \"one\"\n[[series]]\nname = \"two\"\n[series.scheduler]\nlr = 0 #!\n",
        "series \"two\"",
    ],
    &[
        "[[series]]\nname = \"one\"\n[series.scheduler] #!\nkind = \"fixed\"\n",
        "scheduler.lr: missing",
    ],
    &[
        "[[series]]\nname = \"one\"\n[series.schedular] #!\nlr = 1\n",
        "`scheduler`",
    ],
    &["[[series]]\nname = \"one\"\nlr = 1 #!\n", "[scheduler]"],
    &[
        "[[series]]\nname = \"one\"\n[series.data]\nset = \"cifar10\" #!\n",
        "data.set",
    ],
    &[
        "[[series]]\nname = \"one\"\n[series.training]\nbatch_size = 161 #!\n",
        "training.batch_size = 161",
    ],
    &[
        "[[series]]\nname = \"one\"\nscheduler = 3 #!\n",
        "scheduler = 3",
    ],
    &[
        "[[series]]\nname = \"one\"\n[series.optimizer]\nkind = \"adamw\"\nmomentum = 0.5 #!\n",
        "optimizer.momentum",
    ],
    &["series = 3 #!\n", "series"],
];

/// What the program says to a specification.
fn said(dir: &Path, text: &str) -> String {
    fs::write(dir.join("spec.toml"), text).unwrap();
    // Of several series, the last one is at fault.
    let series = text
        .rsplit_once("[[series]]\nname = \"")
        .and_then(|(_, rest)| Some(rest.split_once('"')?.0));
    let mut args = vec!["run", "spec.toml"];
    if let Some(series) = series {
        args.extend(["--series", series]);
    }
    let output = autolr(dir, &args).output().unwrap();
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    if output.status.code() == Some(2) && output.stdout.is_empty() && !dir.join("runs").exists() {
        return said;
    }
    // The next one finds the folder as it was.
    let _ = fs::remove_dir_all(dir.join("runs"));
    format!("ACCEPTED, or work was begun: {said}")
}

/// Checks a text; returns the error without the file's name, or what is wrong with it.
fn check(dir: &Path, text: &str, key: &str) -> Result<String, String> {
    let marked = text.lines().position(|line| line.contains("#!"));
    let line = 1 + marked.expect("a line is marked");
    let said = said(dir, text);
    let place = format!("error: spec.toml, line {line}: ");
    let rest = said.strip_prefix(&place).unwrap_or_default();
    let sound = rest.contains(key)
        && rest.lines().count() == 1
        && !rest.contains(|c: char| c.is_control() && c != '\n')
        && rest.chars().count() < 600;
    if sound {
        Ok(format!("line {line}: {}", rest.replace(" #!", "")))
    } else {
        Err(format!(
            "{said:?} should begin with {place:?} and name {key:?}"
        ))
    }
}

#[test]
fn none_is_accepted_and_each_error_names_file_line_and_key() {
    let temp = TempDir::new().unwrap();
    let groups: [(&str, &[Case]); 8] = [
        ("Unknown keys and tables", UNKNOWN),
        ("Keys of another kind", OTHER_KIND),
        ("Missing keys", MISSING),
        ("Types", TYPES),
        ("Names", NAMES),
        ("Ranges", RANGES),
        ("Combinations", COMBINATIONS),
        ("TOML", TOML),
    ];
    let mut seen = std::collections::BTreeSet::new();
    let mut texts = String::new();
    let mut wrong = Vec::new();
    let mut group = |title: &str, cases: Vec<(String, &str, &str)>| {
        texts += &format!("## {title}\n\n");
        for (text, new, key) in cases {
            assert!(seen.insert(text.clone()), "stands there twice: {new}");
            let shown = new.replace(" #!", "").replace('\n', "\n    ");
            match check(temp.path(), &text, key) {
                Ok(said) => texts += &format!("    {}\n{said}", shown.trim_end()),
                Err(said) => wrong.push(format!("{new:?}: {said}")),
            }
        }
        texts.push('\n');
    };
    for (title, cases) in groups {
        let cases = cases.iter().map(|&(old, new, key)| {
            assert_eq!(REFERENCE.matches(old).count(), 1, "{old:?}");
            (REFERENCE.replace(old, new), new, key)
        });
        group(title, cases.collect());
    }
    let series = SERIES.iter().map(|case| {
        let text = match case[0].strip_prefix("series") {
            Some(_) => format!("{}{REFERENCE}", case[0]),
            None => format!("{REFERENCE}{}", case[0]),
        };
        (text, case[0], case[1])
    });
    group("Series", series.collect());
    assert!(wrong.is_empty(), "{}: {}", wrong.len(), wrong.join("\n"));
    assert!(seen.len() >= 200, "{} specifications", seen.len());
    // What all of them vary is sound: it is the change that is refused.
    fs::write(temp.path().join("spec.toml"), REFERENCE).unwrap();
    let output = autolr(temp.path(), &["run", "spec.toml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!("texts", format!("{} specifications\n\n{texts}", seen.len()));
}
