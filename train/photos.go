package train

const photosRecipe = "photos"

func choosePhotos(cfg Config) (Config, error) {
	var err error
	cfg.Recipe, err = LoadRecipe("finetune", cfg.Set...)
	return cfg, err
}
